"""StyleGAN's parts: what they are worth at the start, and what must be equal to the bit."""

import numpy as np
import pytest

import minigen as mg
from minigen import ops
from minigen.models.stylegan import (
    Discriminator, EqualisedConv2d, EqualisedLinear, Generator, Mapping, Styled, fade, fade_images,
    mix, pixel_norm, truncate,
)

CHANNELS = (6, 4, 3)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def g(rng):
    g = Generator(2, 4, CHANNELS, latent=8, depth=2, generator=rng)
    for layer in g.layers:  # as if trained: noise that counts
        layer.strength.data = 9 * rng.standard_normal(layer.strength.shape).astype("float32")
    return g


@pytest.fixture
def d(rng):
    return Discriminator(2, 4, CHANNELS, generator=rng)


def latents(rng, n=3, latent=8):
    return mg.randn(n, latent, generator=rng)


def test_pixel_norm_makes_the_mean_square_of_a_pixels_features_1(rng):
    y = pixel_norm(mg.Tensor(5 * rng.standard_normal((2, 7, 3, 3)) + 1)).numpy()
    np.testing.assert_allclose((y ** 2).mean(axis=1), 1.0, rtol=1e-8)


def test_pixel_norm_of_zeros_is_zero_and_has_a_gradient():
    x = mg.zeros(2, 3, requires_grad=True)
    assert np.isfinite(mg.grad(pixel_norm(x).sum(), x)[0].numpy()).all()


@pytest.mark.parametrize("fan_in", [8, 512])
def test_an_equalised_layer_starts_with_outputs_of_mean_square_gain_squared(fan_in, rng):
    layer = EqualisedLinear(fan_in, 20_000, gain=1.5, generator=rng)
    y = layer(pixel_norm(latents(rng, 1, fan_in))).numpy().astype(float)
    assert (y ** 2).mean() == pytest.approx(1.5 ** 2, rel=5 * np.sqrt(2 / 20_000))


def test_speed_changes_the_parameters_and_not_the_outputs(rng):
    x = latents(rng)
    slow, fast = (EqualisedLinear(8, 5, speed=speed, generator=np.random.default_rng(1))
                  for speed in (0.01, 1.0))
    np.testing.assert_allclose(slow(x).numpy(), fast(x).numpy(), rtol=1e-5)
    np.testing.assert_allclose(slow.weight.numpy(), 100 * fast.weight.numpy(), rtol=1e-6)


def test_a_slow_layers_bias_counts_less(rng):
    slow = EqualisedLinear(3, 2, speed=0.01, generator=rng)
    slow.bias.data = slow.bias.data + 1
    np.testing.assert_allclose(slow(mg.zeros(1, 3)).numpy(), 0.01, rtol=1e-6)


@pytest.mark.parametrize("kernel, stride, side", [(1, 1, 6), (3, 1, 6), (4, 2, 3)])
def test_an_equalised_convolution_keeps_the_side_or_halves_it(kernel, stride, side, rng):
    layer = EqualisedConv2d(2, 5, kernel, stride, generator=rng)
    assert layer(mg.zeros(1, 2, 6, 6)).shape == (1, 5, side, side)


def test_the_neutral_style_is_scale_1_and_shift_0(rng):
    y = Styled(4, 8, rng)(mg.randn(2, 4, 9, 9, generator=rng), mg.zeros(2, 8)).numpy()
    np.testing.assert_allclose(y.mean(axis=(2, 3)), 0.0, atol=1e-6)
    np.testing.assert_allclose(y.std(axis=(2, 3)), 1.0, rtol=1e-4)


def test_the_mapping_sees_a_latents_direction_only(rng):
    f, z = Mapping(8, 3, generator=rng), latents(rng)
    np.testing.assert_allclose(f(3.0 * z).numpy(), f(z).numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("start", [7, 8])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_images_have_their_levels_side_and_lie_between_minus_1_and_1(start, level, rng):
    g = Generator(3, start, CHANNELS, latent=8, generator=rng)
    images = g(latents(rng), level).numpy()
    assert images.shape == (3, 3, start * 2 ** level, start * 2 ** level)
    assert np.abs(images).max() <= 1
    assert Discriminator(3, start, CHANNELS, rng)(mg.Tensor(images), level).shape == (3, 1)


@pytest.mark.parametrize("level", [1, 2])
def test_a_level_at_alpha_0_is_the_smaller_image_upsampled_to_the_bit(level, g, rng):
    w, noise = g.mapping(latents(rng)), g.noise(3, generator=rng)
    smaller = ops.upsample_nearest(g.paint([w] * 6, level - 1, 1.0, noise))
    np.testing.assert_array_equal(g.paint([w] * 6, level, 0.0, noise).numpy(), smaller.numpy())


@pytest.mark.parametrize("level", [1, 2])
def test_at_alpha_1_the_smaller_images_colours_do_not_matter(level, g, rng):
    w, noise = g.mapping(latents(rng)), g.noise(3, generator=rng)
    before = g.paint([w] * 6, level, 1.0, noise).numpy()
    g.to_colours[level - 1].layers[0].weight.data += 1.0
    np.testing.assert_array_equal(g.paint([w] * 6, level, 1.0, noise).numpy(), before)


@pytest.mark.parametrize("level", [1, 2])
def test_d_at_alpha_0_judges_the_pooled_image(level, d, rng):
    x = mg.rand(3, 2, 4 << level, 4 << level, generator=rng)
    np.testing.assert_array_equal(d(x, level, 0.0).numpy(),
                                  d(ops.avg_pool2d(x, 2), level - 1).numpy())


@pytest.mark.parametrize("level", [1, 2])
def test_d_at_alpha_1_does_not_look_at_the_pooled_image(level, d, rng):
    x = mg.rand(3, 2, 4 << level, 4 << level, generator=rng)
    before = d(x, level).numpy()
    d.from_colours[level - 1].weight.data += 1.0
    np.testing.assert_array_equal(d(x, level).numpy(), before)


def test_fading_is_linear_in_alpha(rng):
    a, b = (mg.Tensor(rng.standard_normal((2, 3))) for _ in range(2))
    np.testing.assert_allclose(fade(a, b, 0.25).numpy(), 0.75 * a.numpy() + 0.25 * b.numpy())


def test_faded_real_images_keep_the_means_of_squares(rng):
    x = mg.Tensor(rng.standard_normal((2, 3, 8, 8)))
    np.testing.assert_allclose(ops.avg_pool2d(fade_images(x, 0.3), 2).numpy(),
                               ops.avg_pool2d(x, 2).numpy(), atol=1e-12)
    np.testing.assert_array_equal(fade_images(x, 1.0).numpy(), x.numpy())


def test_noise_starts_without_a_say(rng):
    g = Generator(1, 4, CHANNELS, latent=8, generator=rng)
    z = latents(rng)
    np.testing.assert_array_equal(g(z).numpy(), g(z).numpy())


def test_noise_that_has_a_say_differs_from_image_to_image(g, rng):
    z = ops.broadcast_to(latents(rng, 1), (2, 8))
    first, second = g(z).numpy()
    assert np.abs(first - second).max() > 0.01


def test_lower_levels_draw_the_first_of_the_noise(g):
    few, all_ = (g.noise(2, level, np.random.default_rng(1)) for level in (0, 2))
    assert [n.shape[2] for n in all_] == [4, 4, 8, 8, 16, 16]
    assert len(few) == 2
    np.testing.assert_array_equal(few[1].numpy(), all_[1].numpy())


@pytest.mark.parametrize("crossover", [0, 2, 4, 6])
def test_images_up_to_the_crossover_are_the_firsts_to_the_bit(crossover, g, rng):
    w, other = g.mapping(latents(rng)), g.mapping(latents(rng))
    noise = g.noise(3, generator=rng)
    styles = mix(w, other, crossover, 6)
    assert [style is w for style in styles] == [i < crossover for i in range(6)]
    for level in range(3):
        same = np.array_equal(g.paint(styles, level, 1.0, noise).numpy(),
                              g.paint([w] * 6, level, 1.0, noise).numpy())
        assert same == (2 * level + 2 <= crossover)


def test_truncation_keeps_the_mean_and_scales_the_deviations(rng):
    w = mg.Tensor(rng.standard_normal((50, 4)) + 3)
    mean = w.mean(0, keepdims=True)
    cut = truncate(w, mean, 0.5).numpy()
    np.testing.assert_allclose(cut.mean(axis=0), mean.numpy()[0])
    np.testing.assert_allclose(cut.std(axis=0), 0.5 * w.numpy().std(axis=0))


def test_all_but_the_colours_of_level_0_belong_to_level_2(g, d, rng):
    parameters = g.parameters() + d.parameters()
    loss = d(g(latents(rng), 2, 0.5), 2, 0.5).sum()
    gradients = mg.grad(loss, parameters, allow_unused=True)
    unused = {p for p, gradient in zip(parameters, gradients) if gradient is None}
    assert unused == {*g.to_colours[0].parameters(), *d.from_colours[0].parameters()}


def test_everything_stays_float32(g, d, rng):
    image = g(latents(rng), 2, 0.3)
    assert image.dtype == d(image, 2, 0.3).dtype == np.float32
