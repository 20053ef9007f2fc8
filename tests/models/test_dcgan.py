"""DCGAN's shapes and starting weights, and that labels matter exactly as they should."""

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.models.dcgan import Discriminator, Generator, to_signed, to_unit


@pytest.fixture
def rng():
    return np.random.default_rng(0)


LABELS = np.array([2, 0, 2])


def images(rng, n=3, channels=1, side=8):
    return mg.rand(n, channels, side, side, generator=rng) * 2.0 - 1.0


@pytest.mark.parametrize("channels, side", [(1, 28), (3, 32), (2, 4)])
def test_shapes(channels, side, rng):
    drawn = Generator(5, channels, side, width=4, generator=rng)(mg.randn(2, 5, generator=rng))
    assert drawn.shape == (2, channels, side, side)
    assert Discriminator(channels, side, width=4, generator=rng)(drawn).shape == (2, 1)


def test_a_generators_images_are_in_tanhs_range(rng):
    drawn = Generator(5, 1, 8, width=4, generator=rng)(100.0 * mg.randn(50, 5, generator=rng))
    assert -1 <= drawn.numpy().min() < 0 < drawn.numpy().max() <= 1


def test_weights_start_from_the_papers_normal_law_and_biases_from_0(rng):
    for net in (Generator(8, 1, 28, 32, generator=rng), Discriminator(1, 28, 32, generator=rng)):
        weights = np.concatenate([p.numpy().ravel() for p in net.parameters() if p.ndim > 1])
        assert weights.mean() == pytest.approx(0, abs=5 * 0.02 / np.sqrt(weights.size))
        assert weights.std() == pytest.approx(0.02, rel=5 / np.sqrt(2 * weights.size))
        for name, p in net.named_parameters():
            if name.endswith("bias"):
                np.testing.assert_array_equal(p.numpy(), 0.0)


def test_no_bias_stands_in_front_of_a_batch_norm(rng):
    for net in (Generator(5, 1, 8, 4, generator=rng).net.layers,
                Discriminator(1, 8, 4, generator=rng).features.layers):
        for layer, after in zip(net, net[1:]):
            if isinstance(after, nn.BatchNorm2d):
                assert layer.bias is None


def test_neither_the_images_nor_the_logits_pass_a_batch_norm(rng):
    assert not isinstance(Discriminator(1, 8, 4).features.layers[1], nn.BatchNorm2d)
    last = Generator(5, 1, 8, 4).net.layers[-2:]
    assert [type(layer) for layer in last] == [nn.ConvTranspose2d, nn.Tanh]


def test_one_seed_makes_one_network():
    first, second = (Generator(5, 1, 8, 4, 3, generator=np.random.default_rng(7)).state_dict()
                     for _ in range(2))
    assert all((first[name] == second[name]).all() for name in first)


def test_another_label_moves_the_logit_by_its_row_times_the_features(rng):
    d = Discriminator(1, 8, width=4, classes=3, generator=rng)
    x = images(rng)
    rows = d.labels.numpy()
    moved = d(x, LABELS) - d(x, np.array([1, 1, 1]))
    want = ((rows[LABELS] - rows[1]) * d.features(x).numpy()).sum(1)
    assert np.abs(want).min() > 1e-3
    np.testing.assert_allclose(moved.numpy()[:, 0], want, atol=1e-5)


def test_a_discriminator_without_labels_has_the_same_first_part(rng):
    d = Discriminator(1, 8, width=4, classes=3, generator=rng)
    x = images(rng)
    d.labels.data = 0.0 * d.labels.data
    np.testing.assert_allclose(d(x, LABELS).numpy(), d.linear(d.features(x)).numpy(), atol=1e-6)


def test_another_label_gives_another_image_of_the_same_noise(rng):
    g = Generator(5, 1, 8, width=4, classes=3, generator=rng).eval()
    z = mg.randn(3, 5, generator=rng)
    apart = np.abs((g(z, LABELS) - g(z, np.array([2, 1, 2]))).numpy()).max((1, 2, 3))
    assert apart[0] == apart[2] == 0 and apart[1] > 1e-6


def test_only_the_rows_asked_for_are_learned(rng):
    g = Generator(5, 1, 8, width=4, classes=4, generator=rng)
    d = Discriminator(1, 8, width=4, classes=4, generator=rng)
    loss = (d(g(mg.randn(3, 5, generator=rng), LABELS), LABELS) ** 2).sum()
    for rows in mg.grad(loss, [g.labels, d.labels]):
        assert (np.flatnonzero(np.abs(rows.numpy()).sum(1)) == [0, 2]).all()


def test_labels_may_be_a_tensor_or_an_array(rng):
    d = Discriminator(1, 8, width=4, classes=3, generator=rng)
    x = images(rng)
    np.testing.assert_array_equal(d(x, LABELS).numpy(), d(x, mg.Tensor(LABELS)).numpy())


def test_a_batch_is_normalised_by_itself(rng):
    d = Discriminator(1, 8, width=4, generator=rng)
    x, other = images(rng), images(rng)
    before = d(x).numpy()
    d(other)
    np.testing.assert_array_equal(d(x).numpy(), before)
    assert np.abs(d(mg.ops.concatenate([x, other])).numpy()[:3] - before).max() > 1e-4


def test_images_go_to_tanhs_range_and_come_back():
    levels = np.arange(256, dtype=np.float32) / 255
    assert to_signed(levels)[[0, 255]].tolist() == [-1.0, 1.0]
    np.testing.assert_array_equal(np.rint(255 * to_unit(to_signed(levels))), np.arange(256))
    assert to_unit(to_signed(mg.Tensor(levels))).dtype == np.float32


@pytest.mark.parametrize("net", [lambda k: Generator(5, 1, 8, 4, k),
                                 lambda k: Discriminator(1, 8, 4, k)])
def test_labels_that_are_missing_unexpected_or_of_another_shape_are_refused(net, rng):
    inputs = mg.randn(3, 5) if isinstance(net(0), Generator) else images(rng)
    with pytest.raises(ValueError, match="y is missing, but there are 4 classes"):
        net(4)(inputs)
    with pytest.raises(ValueError, match="y is given, but there are 0 classes"):
        net(0)(inputs, LABELS)
    with pytest.raises(ValueError, match=r"y has shape \(2,\), expected \(3,\)"):
        net(4)(inputs, LABELS[:2])


@pytest.mark.parametrize("make", [lambda side: Generator(5, 1, side),
                                  lambda side: Discriminator(1, side)])
@pytest.mark.parametrize("side", [0, 30])
def test_a_side_that_is_no_multiple_of_4_is_refused(make, side):
    with pytest.raises(ValueError, match=f"side must be a multiple of 4, got {side}"):
        make(side)
