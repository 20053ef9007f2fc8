"""The U-Net: shapes, what each of its inputs changes, its bridges, and what it can learn."""

import numpy as np
import pytest

import minigen as mg
from minigen import losses, optim
from minigen.models.diffusion import simple_loss
from minigen.models.schedule import cosine_schedule
from minigen.models.unet import Block, StepAndClass, UNet
from minigen.training import minimise


def unet(widths=(4, 8, 8), classes=3, channels=1):
    """A U-Net as training would leave it: its last layer is not 0."""
    net = UNet(channels, widths, classes, code=8, generator=np.random.default_rng(0))
    draw = np.random.default_rng(1)
    for p in net.last.parameters():
        p.data = draw.standard_normal(p.shape).astype(np.float32)
    return net


def images(n=3, channels=1, h=8, w=8):
    return mg.randn(n, channels, h, w, generator=np.random.default_rng(2))


def biggest(difference):
    return abs(difference.numpy()).max()


def test_it_starts_at_zero():
    net = UNet(1, (4, 8), 2, code=8, generator=np.random.default_rng(0))
    assert biggest(net(images(), 5, 1)) == 0.0
    eps = images()
    x0 = mg.zeros(3, 1, 8, 8)
    loss = simple_loss(net, cosine_schedule(50), x0, np.array([1, 20, 50]), eps)
    assert loss.item() == pytest.approx((eps.numpy() ** 2).mean())


@pytest.mark.parametrize("widths, channels, h, w", [
    ((4, 8), 1, 6, 6), ((4, 8, 8), 3, 8, 12), ((4, 16, 48), 1, 28, 28), ((4, 8, 8, 8), 1, 16, 16)])
def test_what_comes_out_has_the_shape_of_what_went_in(widths, channels, h, w):
    x = images(2, channels, h, w)
    y = unet(widths, channels=channels)(x, 5)
    assert y.shape == x.shape and y.dtype == np.float32


def test_sides_that_cannot_be_halved_are_refused():
    with pytest.raises(ValueError, match="multiples of 4; got .*30"):
        unet()(images(1, 1, 30, 28), 1)
    with pytest.raises(ValueError, match="x must be"):
        unet()(mg.zeros(3, 64), 1)
    with pytest.raises(ValueError, match="widths"):
        UNet(1, (8,))


def test_a_step_changes_the_guess_and_one_for_all_is_that_one_for_each():
    net, x = unet(), images()
    assert biggest(net(x, 7) - net(x, 8)) > 1e-2
    np.testing.assert_allclose(net(x, 7).numpy(), net(x, np.full(3, 7)).numpy(), atol=1e-5)
    each = net(x, np.array([1, 7, 30])).numpy()
    np.testing.assert_allclose(each[1], net(x, 7).numpy()[1], atol=1e-5)


def test_a_class_changes_the_guess_and_the_class_after_the_last_is_none():
    net, x = unet(classes=3), images()
    guesses = [net(x, 7, y) for y in range(4)]
    assert min(biggest(a - b) for a, b in zip(guesses, guesses[1:])) > 1e-2
    np.testing.assert_array_equal(guesses[3].numpy(), net(x, 7).numpy())
    each = net(x, 7, np.array([2, 3, 0])).numpy()
    np.testing.assert_allclose(each[1], guesses[3].numpy()[1], atol=1e-5)


def test_a_class_that_is_none_is_refused():
    for y in (-1, 4, np.array([0, 4, 1])):
        with pytest.raises(ValueError, match="y must be in 0 .. 3"):
            unet(classes=3)(images(), 1, y)
    with pytest.raises(ValueError, match="y must be in 0 .. 0"):
        unet(classes=0)(images(), 1, 1)


def test_an_image_is_judged_without_its_neighbours_in_the_batch():
    net, x = unet(), images(4)
    np.testing.assert_allclose(net(x, 7, 1).numpy()[:2], net(x[:2], 7, 1).numpy(), atol=1e-5)


@pytest.mark.parametrize("widths", [(4, 8), (4, 8, 8)])
def test_each_size_has_a_bridge_and_each_bridge_matters(widths):
    class Cut(UNet):
        """A U-Net without one of its bridges."""

        def bridge(self, up, seen):
            return super().bridge(up, 0.0 * seen if seen.shape[2] == self.cut else seen)

    net, x = unet(widths), images()
    whole = net(x, 7)
    net.__class__ = Cut
    for cut in [8 // 2**i for i in range(len(widths) - 1)]:
        net.cut = cut
        assert biggest(net(x, 7) - whole) > 1e-2


def test_how_bright_an_image_is_reaches_the_output():
    net, x = unet(), images()
    gain = net(x + 1.0, 7).numpy().mean() - net(x, 7).numpy().mean()
    assert abs(gain) > 1e-2


def test_a_block_keeps_its_input_beside_what_it_adds():
    block = Block(4, 4, 8, np.random.default_rng(0))
    x, code = images(2, 4), mg.zeros(2, 8)
    for p in block.convs[1].parameters():
        p.data = 0 * p.data
    np.testing.assert_array_equal(block(x, code).numpy(), x.numpy())
    assert Block(8, 4, 8)(images(2, 8), code).shape == (2, 4, 8, 8)


def test_no_two_steps_or_classes_have_one_code():
    code = StepAndClass(3, 16, np.random.default_rng(0))
    x = images(6)
    steps, labels = code(x, np.arange(1, 601, 100), None), code(x[:3], 1, np.arange(3))
    rows = np.concatenate([steps.numpy(), labels.numpy()])
    distance = np.linalg.norm(rows[:, None] - rows, axis=-1) + 10 * np.eye(9)
    assert distance.min() > 0.1


def test_every_parameter_gets_a_gradient_and_the_loss_falls():
    rng, net = np.random.default_rng(0), UNet(1, (4, 8), 2, 16, np.random.default_rng(0))
    optimiser = optim.Adam(net.parameters(), lr=0.01)
    x0 = mg.Tensor(np.where(np.arange(16)[:, None, None, None] % 2, 1.0, -1.0)
                   * np.ones((16, 1, 8, 8)), dtype="float32")
    schedule, y, history = cosine_schedule(20), np.arange(16) % 3, []
    for _ in range(60):
        loss = simple_loss(lambda x, t: net(x, t, y), schedule, x0, schedule.draw_steps(16, rng),
                           mg.randn(*x0.shape, generator=rng))
        minimise(loss, optimiser, net)
        history.append(loss.item())
    assert np.mean(history[-10:]) < 0.5 * history[0]
    assert all(abs(p.grad.numpy()).max() > 0 for p in net.parameters())


def test_it_agrees_with_itself_under_gradcheck():
    net = UNet(1, (2, 2), 1, 4, np.random.default_rng(0))
    draw = np.random.default_rng(1)
    for p in net.parameters():
        p.data = p.data.astype(np.float64) + 0.3 * draw.standard_normal(p.shape)
    x = mg.Tensor(draw.standard_normal((2, 1, 4, 4)), requires_grad=True)
    mg.gradcheck(lambda x: losses.mse(net(x, np.array([1, 9]), np.array([0, 1])), 0.0), [x])
