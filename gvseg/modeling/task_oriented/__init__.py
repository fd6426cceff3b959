"""What GvSeg adds to the core (Chen et al., General and Task-Oriented Video Segmentation)."""
