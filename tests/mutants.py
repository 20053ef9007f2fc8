"""The mutants: bugs that real code bases have shipped, a line each, and what must turn red.

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
        "tanh's gradient with a wrong sign",
        "minigen/ops/pointwise.py",
        "return g * (1.0 - z * z)",
        "return g * (1.0 + z * z)",
        "01_autodiff: minigen: dz/dx, dz/dy, d²z/dx²",
    ),
    Mutant(
        "broadcasting never undone",
        "minigen/autodiff/graph.py",
        "gradients.add(source(tensor), _sum_to(wanted, tensor, node))",
        "gradients.add(source(tensor), wanted)",
        "01_autodiff: the gradient of a bias: column sums",
    ),
    Mutant(
        "a mean where a sum belongs",
        "minigen/ops/reduce.py",
        "return x.sum(axis=self.axis, keepdims=self.keepdims)",
        "return x.mean(axis=self.axis, keepdims=self.keepdims)",
        "01_autodiff: penalty of w·x: (|w| − 1)²",
    ),
    Mutant(
        "nodes walked before all their users",
        "minigen/autodiff/graph.py",
        "unseen = [t.node for t in inputs if t is not None and t.node and t.node not in leads]",
        "unseen = []",
        "tests/autodiff/test_graph.py",
    ),
    Mutant(
        "a second use of a value overwrites the first",
        "minigen/autodiff/graph.py",
        'self.sums[where] = OPS["add"]()(self.sums[where], gradient)',
        "self.sums[where] = gradient",
        "01_autodiff: minigen: the diamond, either way",
    ),
    Mutant(
        "a gradient added up in somebody else's buffer",
        "minigen/autodiff/graph.py",
        "        elif where in self.own:",
        "        elif not self.create_graph:",
        "tests/autodiff/test_graph.py",
    ),
    Mutant(
        "a statistic frozen inside a gradient",
        "minigen/ops/reduce.py",
        "deviation = x - x.mean(self.axis, keepdims=True)",
        "deviation = x - x.mean(self.axis, keepdims=True).detach()",
        "01_autodiff: variance: H·(1, ..., 1) = 0",
    ),
    Mutant(
        "Adam without its bias correction",
        "minigen/optim.py",
        "step *= self.lr / (1 - b1 ** self.t)",
        "step *= self.lr",
        "01_autodiff: Adam's first step is −lr sign(g)",
    ),
    Mutant(
        "Adam's eps inside the root",
        "minigen/optim.py",
        "        size += self.eps",
        "        size += self.eps ** 0.5",
        "tests/test_optim.py",
    ),
    Mutant(
        "repeated indices counted once",
        "minigen/ops/index.py",
        "xp.add.at(z, self.key, x)  # z[key] += x would count a repeated element once",
        "z[self.key] += x",
        "01_autodiff: gradcheck: a row taken twice, and axes turned",
    ),
    Mutant(
        "a square root that sees the 0",
        "minigen/ops/pointwise.py",
        "return where(nonzero, sqrt(where(nonzero, x, 1.0)), 0.0)",
        "return where(nonzero, sqrt(x), 0.0)",
        "01_autodiff: at w = 0, safe_sqrt: gradient 0",
    ),
    Mutant(
        "a convolution's gradient with a wrong sign",
        "minigen/ops/conv.py",
        "weight_grad = Conv2dWeightGrad(self.stride, self.padding, w.shape[2:])\n"
        "        return (transpose(g, w) if self.needs[0] else None,",
        "weight_grad = Conv2dWeightGrad(self.stride, self.padding, w.shape[2:])\n"
        "        return (transpose(-g, w) if self.needs[0] else None,",
        "tests/ops/test_conv.py::test_gradcheck_of_first_and_second_order",
    ),
    Mutant(
        "AdaIN's statistics frozen in its second derivative",
        "minigen/ops/norm.py",
        "z = (x - x.mean((2, 3), keepdims=True)) * r",
        "z = (x - x.mean((2, 3), keepdims=True)).detach() * r",
        "tests/ops/test_norm.py",
    ),
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
        "d = _train(standard_r[folds_r != k], standard_f[folds_f != k], rng,",
        "d = _train(standard_r[folds_r == k], standard_f[folds_f == k], rng,",
        "tests/models/test_two_sample.py::test_a_judge_never_scores_points_that_it_was_trained_on",
    ),
    Mutant(
        "softmax over the batch",
        "minigen/losses.py",
        "return -ops.log_softmax(logits, axis=1)[rows, columns].mean()",
        "return -ops.log_softmax(logits, axis=0)[rows, columns].mean()",
        "00_probability: softmax cross-entropy = the mean surprise",
    ),
    Mutant(
        "a loss summed where it must be averaged",
        "minigen/losses.py",
        "return -ops.log_softmax(logits, axis=1)[rows, columns].mean()",
        "return -ops.log_softmax(logits, axis=1)[rows, columns].sum()",
        "00_probability: its gradient: (softmax - one-hot)/n",
    ),
    Mutant(
        "KL with its arguments swapped",
        "minigen/divergences.py",
        "return _expectation(lambda x: p.log_pdf(x) - q.log_pdf(x), p, q)",
        "return _expectation(lambda x: q.log_pdf(x) - p.log_pdf(x), q, p)",
        "00_probability: KL(p||left hump) = 15 - h",
    ),
    Mutant(
        "a posterior without its evidence",
        "lessons/00_probability.py",
        "return joint / evidence",
        "return joint",
        "00_probability: p(ill|positive) = 1/6",
    ),
    Mutant(
        "responsibilities that do not sum to 1",
        "minigen/densities.py",
        "return np.exp(log_joint - np.logaddexp.reduce(log_joint, axis=0))",
        "return np.exp(log_joint)",
        "00_probability: Bayes = σ(wx + b)",
    ),
    Mutant(
        "a variable changed, its slope forgotten",
        "lessons/00_probability.py",
        "return x.numpy().reshape(z.shape), standard.pdf(z) / slope.numpy().reshape(z.shape)",
        "return x.numpy().reshape(z.shape), standard.pdf(z)",
        "00_probability: implicit: p_g = probability per unit of length",
    ),
    Mutant(
        "samples spread by the variance",
        "minigen/densities.py",
        "return self.mean + self.std * rng.standard_normal(_count(\"Gaussian.sample: n\", n))",
        "return self.mean + self.std**2 * rng.standard_normal(_count(\"Gaussian.sample: n\", n))",
        "00_probability: mean surprise → H(p) + KL(p||model)",
    ),
    Mutant(
        "a conditional that sums to 1 over the wrong variable",
        "lessons/00_probability.py",
        "return p1, p12 / p1[:, None], p / p12[:, :, None]",
        "return p1, p12 / p12.sum(axis=0), p / p12[:, :, None]",
        "00_probability: chain rule, the pixels in all 6 orders",
    ),
    Mutant(
        "a checkpoint that forgets how many steps Adam has made",
        "minigen/optim.py",
        'memory = ("t", "m", "v")',
        'memory = ("m", "v")',
        "tests/test_training.py",
    ),
    Mutant(
        "a resumed run that starts its epoch anew",
        "minigen/training.py",
        'self.left = state["left"][state["left"] >= 0]',
        "self.left = np.empty(0, np.int64)",
        "tests/test_training.py",
    ),
    Mutant(
        "a checkpoint written over the last good one",
        "minigen/training.py",
        'part = self.path.with_name(self.path.name + ".part")',
        "part = self.path",
        "tests/test_training.py",
    ),
    Mutant(
        "a guard that looks at the loss alone",
        "minigen/training.py",
        "if not math.isfinite(sum(squares, value)):",
        "if not math.isfinite(value):",
        "tests/test_training.py",
    ),
    Mutant(
        "a damaged checkpoint not noticed",
        "minigen/training.py",
        "if damaged := ZipFile(self.path).testzip():",
        "if damaged := None:",
        "tests/test_training.py",
    ),
    Mutant(
        "clipping that lengthens short gradients",
        "minigen/training.py",
        "g * (max_norm / norm) if norm > max_norm else g",
        "g * (max_norm / norm) if 0 < max_norm < math.inf and norm else g",
        "tests/test_training.py",
    ),
    Mutant(
        "the end of an epoch thrown away",
        "minigen/training.py",
        "chosen, self.left = self.left[:self.size], self.left[self.size:]",
        "chosen, self.left = self.left[:self.size], self.left[:0]",
        "tests/test_training.py",
    ),
]
