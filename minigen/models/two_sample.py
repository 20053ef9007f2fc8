"""How far apart are two samples? Ask a discriminator.

At its optimum a discriminator's value is V = 2 JSD - 2 ln 2 (Goodfellow et al. 2014, theorem 1),
and any other D has less. So for a trained D, scored on points that it has not seen,

    JSD >= ln 2 + 1/2 E_r[ln D] + 1/2 E_g[ln(1 - D)]     (in expectation).

Scoring D on its own training points would reward learning them by heart. Here the points are cut
into folds, and each is scored by a D trained on the others, so that every point is used and none
judges itself.
"""

import math
from typing import Callable, NamedTuple

import numpy as np

from .. import optim
from ..autodiff.graph import no_grad
from ..autodiff.tensor import Tensor
from ..data.points import PointsError
from ..training import minimise, train
from .gan import Discriminator, discriminator_loss

FOLDS = 5
STEPS = 600  # of training at the most, for each fold
PASSES = 250  # over the data at the most: a small sample is soon learned by heart
BATCH = 256  # of each kind
LEAST = 20  # points a sample needs: fewer leave almost nothing to score


class JsEstimate(NamedTuple):
    """A lower bound on JSD in nats, its 95% bootstrap interval, and the estimated D."""

    js: float
    low: float
    high: float
    d: Callable[[np.ndarray], np.ndarray]


def estimate_js(
    real: np.ndarray, fake: np.ndarray, rng: np.random.Generator, resamples: int = 1000
) -> JsEstimate:
    """Estimate JSD(p_r, p_g) from samples real (n,) and fake (m,); n and m may differ.

    resamples: bootstrap draws of the scores.
    Raises PointsError for samples too small or without any spread.
    """
    for name, sample in (("real", real), ("fake", fake)):
        if len(sample) < LEAST:
            raise PointsError(f"{name}: {len(sample)} points are too few, expected {LEAST} or more")
    both = np.concatenate([real, fake])
    centre, scale = both.mean(), both.std()
    if scale == 0:
        raise PointsError(f"all points of both samples are {centre:g}: nothing to tell apart")

    folds_r = rng.permutation(len(real)) % FOLDS
    folds_f = rng.permutation(len(fake)) % FOLDS
    score_r, score_f = np.empty(len(real)), np.empty(len(fake))
    judges = []
    for k in range(FOLDS):
        standard_r, standard_f = (real - centre) / scale, (fake - centre) / scale
        d = _train(standard_r[folds_r != k], standard_f[folds_f != k], rng,
                   f"D, fold {k + 1} of {FOLDS}")
        score_r[folds_r == k] = -np.logaddexp(0, -_logits(d, standard_r[folds_r == k]))  # ln D
        score_f[folds_f == k] = -np.logaddexp(0, _logits(d, standard_f[folds_f == k]))  # ln(1 - D)
        judges.append(d)

    def mean_d(x: np.ndarray) -> np.ndarray:
        logits = [_logits(d, (np.asarray(x) - centre) / scale) for d in judges]
        return np.mean([1 / (1 + np.exp(-a)) for a in logits], axis=0)

    low, high = np.quantile(_bootstrap(score_r, score_f, rng, resamples), [0.025, 0.975])
    return JsEstimate(_js(score_r, score_f), float(low), float(high), mean_d)


def _js(score_r: np.ndarray, score_f: np.ndarray) -> float:
    """ln 2 + V/2."""
    return float(math.log(2) + 0.5 * score_r.mean() + 0.5 * score_f.mean())


def _bootstrap(
    score_r: np.ndarray, score_f: np.ndarray, rng: np.random.Generator, resamples: int
) -> list[float]:
    """The estimate again, on as many points drawn anew (with replacement) from each sample."""
    return [_js(rng.choice(score_r, len(score_r)), rng.choice(score_f, len(score_f)))
            for _ in range(resamples)]


def _train(
    real: np.ndarray, fake: np.ndarray, rng: np.random.Generator, label: str
) -> Discriminator:
    """A small D, trained on batches of equal halves, whatever the sizes of the samples."""
    steps = min(STEPS, math.ceil(PASSES * (len(real) + len(fake)) / (2 * BATCH)))
    d = Discriminator(1, hidden=(16, 16), generator=rng)
    optimiser = optim.Adam(d.parameters())

    def step(i: int) -> dict[str, Tensor]:
        optimiser.lr = 0.01 * (1 - i / steps)
        logits_real = d(_column(rng.choice(real, BATCH)))
        logits_fake = d(_column(rng.choice(fake, BATCH)))
        loss = discriminator_loss(logits_real, logits_fake)
        minimise(loss, optimiser, d)
        return {"J_D": loss}

    train(step, steps, label=label)
    return d


def _column(x: np.ndarray) -> Tensor:
    return Tensor(x.reshape(-1, 1), dtype="float32")


def _logits(d: Discriminator, x: np.ndarray) -> np.ndarray:
    with no_grad():
        return d(_column(x)).numpy().ravel().astype(np.float64)
