import torch
import torch.nn.functional as F

from gvseg.modeling.losses import dice_loss, draw_uncertain_points, mask_bce_loss, sample_points


def test_points_read_pixel_centres_and_the_mean_between():
    """2x2 map: centres lie at 0.25 and 0.75; the middle of the image is the mean of all four."""
    maps = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    points = torch.tensor([[[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.5, 0.5]]])
    expected = torch.tensor([1.0, 2.0, 3.0, 2.5])
    torch.testing.assert_close(sample_points(maps, points)[0, 0], expected)


def test_uncertain_points_gather_at_the_border_of_a_mask():
    """Logits rise from -8 to 8 over x, so what is uncertain lies in the middle column."""
    logits = torch.linspace(-8, 8, 64).expand(2, 64, 64)
    torch.manual_seed(0)
    points = draw_uncertain_points(logits, 1000, 3.0, 0.75)
    assert points.shape == (2, 1000, 2)
    distance = (points[..., 0] - 0.5).abs()
    # A quarter of the candidates is kept: those of the middle quarter, but for some at the edge of
    # the image, where a point also reads the zeros outside.
    assert (distance[:, :750] <= 0.13).float().mean() > 0.9
    assert distance[:, 750:].max() > 0.4


def test_importance_zero_is_uniform_and_one_is_all_uncertain():
    logits = torch.linspace(-8, 8, 64).expand(1, 64, 64)
    assert (draw_uncertain_points(logits, 600, 3.0, 0.0)[..., 0] - 0.5).abs().max() > 0.45
    assert (draw_uncertain_points(logits, 600, 3.0, 1.0)[..., 0] - 0.5).abs().max() < 0.25


def test_losses_by_hand():
    """One mask, two points, logits 0: cross-entropy is log 2.

    Probabilities are 1/2 and labels 1 and 0, so the dice overlap is 2 * 1/2 = 1, the areas
    1 + 1 = 2, and the loss 1 - (1 + 1) / (2 + 1) = 1/3. Two masks counted give half of each.
    """
    logits, labels = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    two = torch.tensor(2.0)
    torch.testing.assert_close(mask_bce_loss(logits, labels, two), torch.tensor(0.693147 / 2))
    torch.testing.assert_close(dice_loss(logits, labels, two), torch.tensor(1 / 6))


def test_perfect_masks_cost_nothing():
    labels = (torch.rand(3, 50) > 0.5).float()
    logits = 200 * labels - 100
    one = torch.tensor(1.0)
    assert mask_bce_loss(logits, labels, one) < 1e-6
    assert dice_loss(logits, labels, one) < 1e-6


def test_empty_target_and_empty_prediction_are_defined():
    labels, logits = torch.zeros(1, 20), torch.full((1, 20), -100.0)
    assert dice_loss(logits, labels, torch.tensor(1.0)) == 0
    assert F.binary_cross_entropy_with_logits(logits, labels) < 1e-6
