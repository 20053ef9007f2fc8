"""A linear probe: what can be read off features by one linear map?

Alain and Bengio, Understanding intermediate layers using linear classifier probes, 2016. The probe
is softmax regression on features z, here pixels or codes, with a small penalty on its weights:

    loss(W, b) = mean -ln softmax(z W + b)[label] + l2/2 |W|^2.

This is convex, and for l2 > 0 its minimum is at one W: the probe is a function of the data alone,
with no seed and no number of steps to choose. How it is found. With n points, p their softmax and t
the one-hot labels, the gradient in W is z^T (p - t)/n + l2 W, and the curvature never exceeds
z^T z/(2n) + l2 in any class (Böhning, Multinomial logistic regression algorithm, 1992). Along the
singular vectors of z that bound is diagonal. So gradient / bound is a step that never climbs, and
momentum speeds it up (Nesterov 1983; begun anew where it points uphill, as O'Donoghue and Candès
2015 advise).
"""

from typing import NamedTuple

import numpy as np


class Probe(NamedTuple):
    """A fitted probe; `Probe.fit(x, labels)` makes one. All on the host, in float64.

    classes (k,): the labels seen, sorted. mean (d,) and scale standardise the features: each is
    centred, and all are divided by one number, their root mean variance. A scale for each would
    blow up a pixel that is hardly ever inked to the size of the others. weight (d, k), bias (k,).
    """

    classes: np.ndarray
    mean: np.ndarray
    scale: float
    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray, labels: np.ndarray, l2: float = 1e-2) -> "Probe":
        """The probe of features x (n, d) and labels (n,), integers.

        Turning or shifting the features, or scaling them all, does not change what it predicts.
        Raises ValueError for other shapes, or unless l2 > 0.
        """
        if x.ndim != 2 or labels.shape != x.shape[:1] or len(x) == 0 or not l2 > 0:
            raise ValueError(f"Probe.fit: expected x (n, d), labels (n,), n > 0 and l2 > 0; got x "
                             f"{x.shape}, labels {labels.shape}, l2 = {l2}")
        classes = np.unique(labels)
        mean = x.mean(axis=0, dtype=np.float64)
        scale = float(np.sqrt(x.var(axis=0, dtype=np.float64).mean())) or 1.0
        u, s, vt = np.linalg.svd((x - mean) / scale, full_matrices=False)
        decay = np.append(np.full(len(s), l2), 0.0)[:, None]  # no penalty on the bias
        w = _minimise(np.column_stack([u * s, np.ones(len(x))]), labels[:, None] == classes, decay)
        return cls(classes, mean, scale, vt.T @ w[:-1], w[-1])

    def logits(self, x: np.ndarray) -> np.ndarray:
        """ln of the classes' probabilities, up to a constant for each point: (n, k)."""
        return (x - self.mean) / self.scale @ self.weight + self.bias

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The most probable label of each point, (n,)."""
        return self.classes[self.logits(x).argmax(axis=1)]

    def accuracy(self, x: np.ndarray, labels: np.ndarray) -> float:
        """The share of points whose most probable label is the right one."""
        return float((self.predict(x) == labels).mean())


def _minimise(z: np.ndarray, target: np.ndarray, decay: np.ndarray) -> np.ndarray:
    """The weights w (d, k) of least loss for z (n, d), whose columns are orthogonal."""
    bound = (z * z).sum(axis=0)[:, None] / (2 * len(z)) + decay
    w = ahead = np.zeros((z.shape[1], target.shape[1]))
    age = 0
    while True:
        logits = z @ ahead
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        gradient = z.T @ (p - target) / len(z) + decay * ahead
        if np.abs(gradient).max() < 1e-6:
            return ahead
        before, w = w, ahead - gradient / bound
        age = 0 if (gradient * (w - before)).sum() > 0 else age + 1
        ahead = w + age / (age + 3) * (w - before)
