"""PCA against the singular value decomposition, and against what it must minimise."""

import numpy as np
import pytest

from minigen.models.pca import PCA


def points(n=200, d=6, seed=0):
    rng = np.random.default_rng(seed)
    return 3.0 + rng.standard_normal((n, d)) * np.arange(d, 0, -1) @ rng.standard_normal((d, d))


def test_components_and_eigenvalues_are_those_of_the_centred_datas_svd():
    x = points()
    _, s, right = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    pca = PCA.fit(x, 4)
    np.testing.assert_allclose(pca.eigenvalues, s**2 / len(x), rtol=1e-12)
    np.testing.assert_allclose(np.abs(pca.components @ right[:4].T), np.eye(4), atol=1e-10)
    np.testing.assert_allclose(pca.mean, x.mean(axis=0))


def test_components_are_orthonormal():
    components = PCA.fit(points(), 5).components
    np.testing.assert_allclose(components @ components.T, np.eye(5), atol=1e-12)


@pytest.mark.parametrize("k", range(7))
def test_the_squared_error_is_the_tail(k):
    x = points()
    pca = PCA.fit(x, k)
    error = ((pca.decode(pca.encode(x)) - x) ** 2).sum(axis=1).mean()
    assert error == pytest.approx(pca.tail, abs=1e-10)
    assert pca.tail == pytest.approx(pca.eigenvalues[k:].sum(), abs=1e-12)


def test_no_other_plane_loses_less():
    x, rng = points(), np.random.default_rng(1)
    centred = x - x.mean(axis=0)
    for _ in range(200):
        basis, _ = np.linalg.qr(rng.standard_normal((6, 2)))
        error = ((centred @ basis @ basis.T - centred) ** 2).sum(axis=1).mean()
        assert error > PCA.fit(x, 2).tail


def test_codes_have_mean_0_and_the_eigenvalues_as_variances():
    x = points()
    pca = PCA.fit(x, 3)
    code = pca.encode(x)
    np.testing.assert_allclose(code.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.cov(code.T, bias=True), np.diag(pca.eigenvalues[:3]), atol=1e-9)


def test_encoding_a_decoded_code_gives_it_back():
    pca = PCA.fit(points(), 3)
    code = np.random.default_rng(2).standard_normal((10, 3))
    np.testing.assert_allclose(pca.encode(pca.decode(code)), code, atol=1e-12)


def test_fewer_points_than_numbers_leave_zero_eigenvalues():
    pca = PCA.fit(points(n=4), 3)
    assert pca.eigenvalues.shape == (6,)
    assert (pca.eigenvalues >= 0).all()
    assert pca.tail == pytest.approx(0.0, abs=1e-10)


def test_float32_is_computed_in_float64():
    x = points().astype(np.float32)
    assert PCA.fit(x, 2).eigenvalues.dtype == np.float64
    np.testing.assert_allclose(PCA.fit(x, 2).eigenvalues, PCA.fit(x.astype(np.float64),
                                                                  2).eigenvalues, rtol=1e-9)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"PCA.fit: x must be \(n, d\).*\(2, 3, 4\)"):
        PCA.fit(np.zeros((2, 3, 4)), 1)
    with pytest.raises(ValueError, match="PCA.fit: x must be"):
        PCA.fit(np.zeros((0, 3)), 1)
    with pytest.raises(ValueError, match="PCA.fit: k must be between 0 and d = 6, got 7"):
        PCA.fit(points(), 7)
