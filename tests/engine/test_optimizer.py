import pytest
import torch
from torch import nn

from gvseg.engine.optimizer import build_optimizer, build_scheduler, clip_gradients
from tests.tiny_model import build_tiny, tiny_config


def group_of(optimizer, parameter):
    (group,) = (g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
    return group["lr"], group["weight_decay"]


def test_backbone_learns_slower_and_norms_do_not_decay():
    cfg = tiny_config("SOLVER.WEIGHT_DECAY_NORM", "0.01", "MODEL.TIMM.NORM", "BN")
    model = build_tiny("MODEL.TIMM.NORM", "BN")
    optimizer = build_optimizer(cfg, model)
    decoder = model.query_decoder
    assert group_of(optimizer, decoder.head.classes.weight) == (1e-4, 0.05)
    assert group_of(optimizer, decoder.head.norm.weight) == (1e-4, 0.01)
    assert group_of(optimizer, decoder.queries.place.weight) == (1e-4, 0.0)
    slow, decay = group_of(optimizer, model.backbone.body.conv_stem.weight)
    assert (slow, decay) == (pytest.approx(1e-5), 0.05)
    assert group_of(optimizer, model.backbone.body.bn1.weight) == (pytest.approx(1e-5), 0.01)


def test_biases_have_a_rate_and_a_decay_of_their_own_where_asked():
    model = build_tiny()
    head = model.query_decoder.head
    assert group_of(build_optimizer(tiny_config(), model), head.classes.bias) == (1e-4, 0.05)
    cfg = tiny_config("SOLVER.WEIGHT_DECAY_BIAS", "0.0", "SOLVER.BIAS_LR_FACTOR", "2.0")
    optimizer = build_optimizer(cfg, model)
    assert group_of(optimizer, head.classes.bias) == (2e-4, 0.0)
    cfg = tiny_config("SOLVER.WEIGHT_DECAY_BIAS", "0.02")
    norm = head.norm
    assert group_of(build_optimizer(cfg, model), norm.bias) == (1e-4, 0.02)  # as in detectron2
    assert group_of(build_optimizer(cfg, model), norm.weight) == (1e-4, 0.0)
    assert group_of(optimizer, head.classes.weight) == (1e-4, 0.05)


def test_momentum_is_nesterovs_where_asked():
    for nesterov in (False, True):
        cfg = tiny_config("SOLVER.OPTIMIZER", "SGD", "SOLVER.NESTEROV", str(nesterov))
        assert build_optimizer(cfg, build_tiny()).defaults["nesterov"] is nesterov


def test_single_numbers_do_not_decay():
    model = build_tiny()
    model.scale = torch.nn.Parameter(torch.tensor(3.0))
    assert group_of(build_optimizer(tiny_config(), model), model.scale) == (1e-4, 0.0)


def test_every_trained_parameter_is_in_one_group():
    model = build_tiny()
    optimizer = build_optimizer(tiny_config(), model)
    grouped = [p for group in optimizer.param_groups for p in group["params"]]
    trained = [p for p in model.parameters() if p.requires_grad]
    assert len(grouped) == len({id(p) for p in grouped}) == len(trained)


def test_unknown_optimizer_is_named():
    with pytest.raises(ValueError, match="'LION'"):
        build_optimizer(tiny_config("SOLVER.OPTIMIZER", "LION"), build_tiny())


def test_polynomial_schedule_by_hand():
    """Power 1, 10 iterations, no warm-up: the rate falls by a tenth each time."""
    cfg = tiny_config(
        "SOLVER.LR_SCHEDULER_NAME", "WarmupPolyLR", "SOLVER.POLY_LR_POWER", "1.0",
        "SOLVER.MAX_ITER", "10", "SOLVER.WARMUP_ITERS", "0", "SOLVER.OPTIMIZER", "SGD",
        "SOLVER.BASE_LR", "1.0", "SOLVER.BACKBONE_MULTIPLIER", "1.0",
    )  # fmt: skip
    optimizer = build_optimizer(cfg, build_tiny())
    scheduler = build_scheduler(cfg, optimizer)
    rates = []
    for _ in range(5):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.6])


@pytest.fixture
def model():
    """Gradients (3, 4) and (12): their norm is 13."""
    model = nn.ParameterList([nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))])
    model[0].grad, model[1].grad = torch.tensor([3.0, 4.0]), torch.tensor([12.0])
    return model


def clip_config(kind, value, enabled="True"):
    prefix = "SOLVER.CLIP_GRADIENTS"
    return tiny_config(
        f"{prefix}.ENABLED", enabled, f"{prefix}.CLIP_TYPE", kind, f"{prefix}.CLIP_VALUE", value
    )


def test_full_model_clipping_scales_all_by_one_factor(model):
    assert clip_gradients(clip_config("full_model", "1.3"), model) == pytest.approx(13)
    torch.testing.assert_close(model[0].grad, torch.tensor([0.3, 0.4]), rtol=1e-4, atol=0)
    torch.testing.assert_close(model[1].grad, torch.tensor([1.2]), rtol=1e-4, atol=0)


def test_other_clipping_and_none(model):
    assert clip_gradients(
        clip_config("full_model", "1.0", enabled="False"), model
    ) == pytest.approx(13)
    assert model[1].grad.item() == 12
    assert clip_gradients(clip_config("value", "3.5"), model) == pytest.approx(13)
    assert model[0].grad.tolist() == [3.0, 3.5]
    model[0].grad = torch.tensor([3.0, 4.0])
    clip_gradients(clip_config("norm", "2.5"), model)
    torch.testing.assert_close(model[0].grad, torch.tensor([1.5, 2.0]), rtol=1e-4, atol=0)


def test_unknown_clipping_is_named(model):
    with pytest.raises(ValueError, match="'everything'"):
        clip_gradients(clip_config("everything", "1.0"), model)
