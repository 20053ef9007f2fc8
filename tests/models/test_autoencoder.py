"""Autoencoders: shapes, tied gradients, sparse codes, and what denoising minimises."""

import itertools

import numpy as np
import pytest

import minigen as mg
from minigen import losses, ops, optim
from minigen.models.autoencoder import (ConvAutoencoder, LinearAutoencoder, MLPAutoencoder,
                                        SparseAutoencoder, TiedAutoencoder, denoising_loss, l1,
                                        soft_threshold, squared_error, top_k)
from minigen.models.pca import PCA


def generator(seed=0):
    return np.random.default_rng(seed)


def in_float64(model):
    for parameter in model.parameters():
        parameter.data = parameter.data.astype(np.float64)
    return model


def numbers(*shape, seed=1):
    return mg.Tensor(generator(seed).standard_normal(shape))


VECTORS = {
    "linear": lambda: LinearAutoencoder(10, 3, generator()),
    "mlp": lambda: MLPAutoencoder(10, 3, hidden=(8, 5), generator=generator()),
    "tied": lambda: TiedAutoencoder(10, 3, hidden=(8, 5), generator=generator()),
    "tied, linear": lambda: TiedAutoencoder(10, 3, generator=generator()),
    "relu": lambda: SparseAutoencoder(10, 3, ops.relu, generator()),
    "top-k": lambda: SparseAutoencoder(10, 3, lambda z: top_k(z, 2), generator()),
}


@pytest.mark.parametrize("name", VECTORS)
def test_the_face_encode_decode_and_one_after_the_other(name):
    model, x = VECTORS[name](), mg.randn(4, 10)
    code = model.encode(x)
    assert code.shape == (4, 3)
    assert model.decode(code).shape == (4, 10)
    np.testing.assert_array_equal(model(x).numpy(), model.decode(code).numpy())


@pytest.mark.parametrize("name", VECTORS)
def test_the_gradient_of_each_parameter_is_what_differences_show(name):
    model, x = in_float64(VECTORS[name]()), numbers(4, 10)
    gradients = mg.grad(squared_error(model(x), x), model.parameters())
    for parameter, gradient in zip(model.parameters(), gradients):
        before, step = parameter.data, np.zeros(parameter.shape)
        step[tuple(generator().integers(0, parameter.shape))] = 1e-6
        losses_around = []
        for parameter.data in (before + step, before - step):
            losses_around.append(squared_error(model(x), x).item())
        parameter.data = before
        quotient = (losses_around[0] - losses_around[1]) / 2e-6
        assert (gradient.numpy() * step).sum() / 1e-6 == pytest.approx(quotient, rel=1e-5, abs=1e-6)


def test_an_mlp_autoencoders_widths_go_down_and_back():
    model = MLPAutoencoder(10, 2, hidden=(8, 5), generator=generator())
    there = [layer.weight.shape for layer in model.encoder.layers[::2]]
    back = [layer.weight.shape for layer in model.decoder.layers[::2]]
    assert there == [(8, 10), (5, 8), (2, 5)]
    assert back == [(5, 2), (8, 5), (10, 8)]


def test_a_signal_keeps_its_size_through_a_deep_encoder():
    deep = MLPAutoencoder(400, 400, hidden=(400,) * 6, generator=generator())
    code = deep.encode(mg.randn(50, 400, generator=generator())).numpy()
    assert 0.2 < code.std() < 2.0  # about .5; with PyTorch's start .03


# Convolutional.

@pytest.mark.parametrize("channels, side", [(1, 28), (3, 32), (2, 8), (1, 4)])
def test_a_convolutional_autoencoder_gives_images_back_in_their_shape(channels, side):
    model = ConvAutoencoder(channels, side, 5, width=4, generator=generator())
    x = mg.randn(2, channels, side, side)
    assert model.encode(x).shape == (2, 5)
    assert model(x).shape == x.shape


def test_a_convolutional_autoencoder_has_three_convolutions_each_way():
    model = ConvAutoencoder(1, 28, 5, width=4, generator=generator())
    assert [layer.weight.shape for layer in model.encoder.layers if hasattr(layer, "weight")] == [
        (4, 1, 4, 4), (8, 4, 4, 4), (5, 8, 7, 7)]
    assert [layer.weight.shape for layer in model.decoder.layers if hasattr(layer, "weight")] == [
        (5, 8, 7, 7), (8, 4, 4, 4), (4, 1, 4, 4)]


def test_a_side_that_cannot_be_halved_twice_is_refused():
    with pytest.raises(ValueError, match="side must be a multiple of 4, got 30"):
        ConvAutoencoder(1, 30, 5)


# Linear, and tied.

def test_a_trained_linear_autoencoder_spans_the_first_components():
    x = generator().standard_normal((200, 5)) * [2, 1.5, 0.5, 0.3, 0.1] + 0.3
    model, points = in_float64(LinearAutoencoder(5, 2, generator())), mg.Tensor(x)
    optimiser = optim.Adam(model.parameters())
    for step in range(1000):
        optimiser.lr = 0.1 * (1 - step / 1000)
        optimiser.zero_grad()
        squared_error(model(points), points).backward()
        optimiser.step()
    pca = PCA.fit(x, 2)
    assert squared_error(model(points), points).item() == pytest.approx(pca.tail, rel=1e-6)
    w2, _ = np.linalg.qr(model.decoder.weight.numpy())
    np.testing.assert_allclose(np.linalg.svd(pca.components @ w2)[1], 1.0, rtol=1e-6)


def test_tied_gradients_add():
    tied = in_float64(TiedAutoencoder(6, 2, generator=generator()))
    free = in_float64(LinearAutoencoder(6, 2, generator()))
    w = tied.layers[0].weight
    free.encoder.weight.data, free.decoder.weight.data = w.data, w.data.T
    free.encoder.bias.data, free.decoder.bias.data = tied.layers[0].bias.data, tied.back[0].data
    x = numbers(7, 6)
    g, = mg.grad(squared_error(tied(x), x), [w])
    g1, g2 = mg.grad(squared_error(free(x), x), [free.encoder.weight, free.decoder.weight])
    np.testing.assert_allclose(g.numpy(), g1.numpy() + g2.numpy().T, rtol=1e-12)


def test_a_tied_autoencoder_has_no_weights_but_its_encoders():
    shapes = [p.shape for p in TiedAutoencoder(6, 2, hidden=(4,)).parameters()]
    assert sorted(shape for shape in shapes if len(shape) == 2) == [(2, 4), (4, 6)]
    assert sorted(shape for shape in shapes if len(shape) == 1) == [(2,), (4,), (4,), (6,)]


# Sparse.

@pytest.mark.parametrize("k", range(6))
def test_top_k_leaves_exactly_k_nonzeros(k):
    kept = top_k(numbers(30, 5), k).numpy()
    assert ((kept != 0).sum(axis=1) == k).all()


def test_top_k_is_the_nearest_row_with_k_nonzeros():
    z = numbers(20, 6).numpy()
    kept = top_k(mg.Tensor(z), 2).numpy()
    for row, got in zip(z, kept):
        choices = [np.where(np.isin(range(6), chosen), row, 0.0)
                   for chosen in itertools.combinations(range(6), 2)]
        np.testing.assert_array_equal(got, min(choices, key=lambda c: ((c - row) ** 2).sum()))


def test_top_k_leaves_no_more_than_k_among_equals():
    for row in ([1.0, 1.0, 1.0, 1.0], [2.0, -2.0, 2.0, 1.0], [-1.0, -1.0, 1.0, 0.5]):
        kept = top_k(mg.Tensor([row], dtype="float64"), 2).numpy()
        assert (kept != 0).sum() == 2


def test_top_k_passes_gradients_to_what_it_keeps():
    z = mg.Tensor(numbers(8, 6), requires_grad=True)
    kept = top_k(z, 3)
    g, = mg.grad((kept * kept).sum(), [z])
    np.testing.assert_allclose(g.numpy(), 2 * kept.numpy())
    mg.gradcheck(lambda z: (top_k(z, 3) * top_k(z, 3)).sum(), [numbers(3, 6)], order=2)


def test_a_k_out_of_range_is_named():
    with pytest.raises(ValueError, match="top_k: k must be between 0 and 5, got 6"):
        top_k(numbers(2, 5), 6)


def test_soft_threshold_is_the_proximal_map_of_l1():
    z = np.linspace(-3, 3, 25)
    candidates = np.linspace(-3, 3, 6001)
    costs = 0.5 * (candidates - z[:, None]) ** 2 + 0.7 * np.abs(candidates)
    np.testing.assert_allclose(soft_threshold(mg.Tensor(z), 0.7).numpy(),
                               candidates[costs.argmin(axis=1)], atol=5.1e-4)


def test_l1_sums_over_units_and_averages_over_points():
    assert l1(mg.Tensor([[1.0, -2.0, 0.0], [0.0, 0.0, 5.0]])).item() == 4.0


def test_atoms_have_length_1_however_long_the_columns():
    model = SparseAutoencoder(10, 3, ops.relu, generator())
    code = mg.randn(4, 3)
    before = model.decode(code).numpy()
    model.decoder.weight.data = 7 * model.decoder.weight.data
    np.testing.assert_allclose(np.linalg.norm(model.atoms().numpy(), axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(model.decode(code).numpy(), before, atol=1e-6)


# Losses.

def test_squared_error_sums_over_a_point_and_averages_over_the_batch():
    x, x_hat = numbers(5, 2, 3, 3), numbers(5, 2, 3, 3, seed=2)
    want = ((x.numpy() - x_hat.numpy()) ** 2).reshape(5, -1).sum(axis=1).mean()
    assert squared_error(x_hat, x).item() == pytest.approx(want, rel=1e-12)


def test_squared_error_refuses_other_shapes():
    with pytest.raises(ValueError, match="prediction has shape"):
        squared_error(numbers(5, 2), numbers(5, 1))


def test_a_denoiser_sees_the_noise_and_is_judged_by_the_clean_input():
    seen = []

    def model(x):
        seen.append(x.numpy())
        return x

    x = numbers(400, 25)
    loss = denoising_loss(model, x, 0.5, generator()).item()
    noise = seen[0] - x.numpy()
    assert loss == pytest.approx((noise**2).mean(), rel=1e-12)
    assert noise.std() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(2 * x.size))


def test_a_denoisers_loss_may_be_another_and_its_noise_is_the_generators():
    model = MLPAutoencoder(10, 3, generator=generator())
    x = mg.Tensor(generator(3).random((6, 10)), dtype="float32")
    first, second = (denoising_loss(model, x, 0.3, generator(5), losses.bce_with_logits).item()
                     for _ in range(2))
    assert first == second
    assert first != losses.bce_with_logits(model(x), x).item()


def test_one_seed_makes_one_autoencoder():
    for make in VECTORS.values():
        for a, b in zip(make().parameters(), make().parameters()):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
