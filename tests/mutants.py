"""The mutants: bugs that real code bases have shipped, one line each, and what must turn red.

`killer` is either a check of a lesson, "01_autodiff: name of the check", or a test by its pytest
name. `line` is source text that stands exactly once in the file.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    name: str
    file: str
    line: str
    bug: str
    killer: str


MUTANTS = [
    Mutant(
        "D* inverted",
        "minigen/models/gan.py",
        "return smoothing * real / (real + (1 - prior) * p_g)",
        "return smoothing * p_g / (real + (1 - prior) * p_g)",
        "04_gan_optimum: logit D*(x) = 2x on [-6, 6]",
    ),
    Mutant(
        "two log bases in one value",
        "lessons/04_gan_optimum.py",
        "return p_r * ops.log(d) + p_g * ops.log(1.0 - d)",
        "return p_r * ops.log(d) + p_g * ops.log(1.0 - d) / LN2",
        "04_gan_optimum: f'(D*) = 0",
    ),
    Mutant(
        "JSD without its halves",
        "minigen/divergences.py",
        "(p_side.value + q_side.value) / 2 / unit,",
        "(p_side.value + q_side.value) / unit,",
        "04_gan_optimum: JSD of N(±1, 1), nats",
    ),
    Mutant(
        "JSD in bits called nats",
        "minigen/divergences.py",
        'unit = 1.0 if base == "nats" else math.log(2)',
        'unit = math.log(2) if base == "nats" else 1.0',
        "04_gan_optimum: JSD of densities that do not overlap",
    ),
    Mutant(
        "fakes labelled as real",
        "minigen/models/gan.py",
        "fake = losses.bce_with_logits(logits_fake, 0.0)",
        "fake = losses.bce_with_logits(logits_fake, 1.0)",
        "04_gan_optimum: J_D = -V/2 for any D",
    ),
    Mutant(
        "the class prior ignored",
        "minigen/models/gan.py",
        "return prior * real + (1 - prior) * fake",
        "return 0.5 * real + 0.5 * fake",
        "04_gan_optimum: slope of J_D at D*, π = .3, a = .9",
    ),
    Mutant(
        "labels smoothed on both sides",
        "minigen/models/gan.py",
        "fake = losses.bce_with_logits(logits_fake, 0.0)",
        "fake = losses.bce_with_logits(logits_fake, 1.0 - smoothing)",
        "04_gan_optimum: slope of J_D at D*, π = .3, a = .9",
    ),
    Mutant(
        "standard deviation used as variance",
        "minigen/densities.py",
        "return -z**2 / 2 - math.log(self.std) - LOG_2PI / 2",
        "return -z**2 / 2 * self.std - math.log(self.std) - LOG_2PI / 2",
        "tests/test_densities.py",
    ),
    Mutant(
        "D judged on the points it was trained on",
        "minigen/models/two_sample.py",
        "d = _train(standard_r[folds_r != k], standard_f[folds_f != k], rng)",
        "d = _train(standard_r[folds_r == k], standard_f[folds_f == k], rng)",
        "tests/models/test_two_sample.py::test_a_judge_never_scores_points_that_it_was_trained_on",
    ),
]
