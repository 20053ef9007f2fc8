"""03. Variational autoencoders: a bound on ln p(x), and both of its terms

The question. Let a code z be drawn from a fixed prior and a decoder make a point x of it. Which
decoder makes our data likely, when the likelihood is an integral that no network can compute? And
what does that buy over an autoencoder?

You will derive the evidence lower bound (ELBO) three ways, check every term of it where the truth
is known (all is Gaussian and linear), train a VAE into the exact optimum, watch latent dimensions
switch off one by one, tighten the bound with more samples, and see what each term does to images.

You need: KL and maximum likelihood (lesson 00), gradients (01), autoencoders and PCA (02).
Papers: Kingma and Welling, Auto-Encoding Variational Bayes, 2014; Rezende, Mohamed and Wierstra
2014; Tipping and Bishop 1999 and Lucas et al. 2019 (the linear case); Higgins et al. 2017 (beta);
Burda, Grosse and Salakhutdinov 2016 (importance weights); Hoffman and Johnson 2016 (ELBO surgery).

Notation: p(z) = N(0, I) the prior, p(x|z) the decoder, q(z|x) = N(mu, diag(exp(log_var))) the
encoder. Logarithms are natural, numbers are nats. A log-likelihood sums over pixels and is averaged
over points; so does, and is, a KL over the latent dimensions.

Other images:  --data digits|mnist|fashion.  --full trains longer and on all classes, and then the
50-dimensional VAE of Burda et al.; with --data mnist its likelihood stands beside theirs.
"""

# %%
import math
import time
from pathlib import Path
from typing import Any, Callable

import matplotlib.pyplot as plt
import numpy as np
from images import DATA, load, sheet, show
from lesson import LEARNED, THEORY, Lesson

import minigen as mg
from minigen import losses, nn, ops, optim
from minigen.densities import Gaussian, GaussianMixture
from minigen.divergences import kl as kl_by_quadrature
from minigen.models.autoencoder import Autoencoder
from minigen.models.pca import PCA
from minigen.models.vae import (VAE, BernoulliLikelihood, GaussianLikelihood,
                                bernoulli_log_likelihood, gaussian_kl, importance_bound,
                                reparameterise)
from minigen.quadrature import integrate
from minigen.training import Batches, Checkpoint, History, minimise, train

# Not the shapes: two numbers cannot hold the kind, the colour, the size and the place of each.
NAME, KEYWORDS = DATA
lesson = Lesson("03_vae", __doc__, arguments=[
    (NAME, KEYWORDS | {"choices": ["digits", "mnist", "fashion"]})])
rng = lesson.rng
images = load(lesson, 60_000 if lesson.full else 12_000, 2_000)  # now: it may have to download
LOG_2PI = math.log(2 * math.pi)


# %% The world in which the truth is known
def tensor(array: Any) -> mg.Tensor:
    """A float64 Tensor: identities are to hold to rounding."""
    return mg.Tensor(array, dtype="float64")


def double(model: nn.Module) -> Any:
    """The model, its parameters now float64."""
    for _, parameter in model.named_tensors():
        parameter.data = parameter.data.astype("float64")
    return model


def linear_vae(features: int, latent: int, variance: float, learned: bool = False) -> VAE:
    """x = W z + b + noise, and an encoder whose mu and log_var are linear in x."""
    return VAE(nn.MLP((features, 2 * latent), generator=rng),
               nn.MLP((latent, features), generator=rng),
               GaussianLikelihood(variance, learned))


def set_linear(model: nn.Module, weight: Any, bias: Any) -> None:
    """Give a one-layer network this weight (out, in) and this bias (out,)."""
    model.load_state_dict({"0.weight": np.asarray(weight), "0.bias": np.asarray(bias)})


def sigma_points(n: int, latent: int) -> mg.Tensor:
    """The noises ±√q e_i, all 2q of them for each of n points: (2q, n, q).

    Their mean is 0 and their covariance I, so that an average over them is the exact expectation
    over eps ~ N(0, I) of any polynomial of degree 2 (and 3, by symmetry).
    """
    corners = math.sqrt(latent) * np.concatenate([np.eye(latent), -np.eye(latent)])
    return tensor(np.repeat(corners[:, None], n, axis=1))


def normal_log_pdf(x: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """ln N(x; mean, cov) for any covariance matrix: x (..., d) gives (...)."""
    solved = np.linalg.solve(cov, (x - mean)[..., None])[..., 0]
    return -((x - mean) * solved).sum(-1) / 2 - np.linalg.slogdet(2 * math.pi * cov)[1] / 2


def normal_kl(m0: np.ndarray, s0: np.ndarray, m1: np.ndarray, s1: np.ndarray) -> np.ndarray:
    """KL(N(m0, s0) || N(m1, s1)) for covariance matrices; the means may be (..., d)."""
    inverse = np.linalg.inv(s1)
    square = np.einsum("...i,ij,...j->...", m0 - m1, inverse, m0 - m1)
    logs = np.linalg.slogdet(s1)[1] - np.linalg.slogdet(s0)[1]
    return (np.trace(inverse @ s0) + square - len(s1) + logs) / 2


class Truth:
    """What Bayes' rule says of a linear VAE's decoder x = W z + b + sqrt(variance) noise.

    p(x) = N(b, W W^T + variance I), and p(z|x) = N(M^-1 W^T (x - b), variance M^-1) with
    M = W^T W + variance I (Tipping and Bishop 1999, eqs. 4 and 7).
    """

    def __init__(self, vae: VAE) -> None:
        self.W, self.b = (t.numpy().astype(float) for t in vae.decoder.parameters())
        self.variance = math.exp(vae.likelihood.log_var.item())
        self.cov = self.W @ self.W.T + self.variance * np.eye(len(self.W))
        self.M = self.W.T @ self.W + self.variance * np.eye(self.W.shape[1])
        self.posterior_cov = self.variance * np.linalg.inv(self.M)

    def log_p(self, x: np.ndarray) -> np.ndarray:
        return normal_log_pdf(x, self.b, self.cov)

    def posterior_mean(self, x: np.ndarray) -> np.ndarray:
        return (x - self.b) @ self.W @ np.linalg.inv(self.M)


def gap(vae: VAE, x: np.ndarray) -> np.ndarray:
    """KL(q(z|x) || p(z|x)) at each point, from the two Gaussians."""
    truth = Truth(vae)
    mu, log_var = (t.numpy() for t in vae.encode(tensor(x)))
    return np.array([normal_kl(m, np.diag(np.exp(v)), mean, truth.posterior_cov)
                     for m, v, mean in zip(mu, log_var, truth.posterior_mean(x))])


# %%
lesson.step("""
    1. Bayes' rule, written so that ln p(x) stands alone
    Claim. ln p(x|z) + ln p(z) - ln p(z|x) is the same number for every z: it is ln p(x).
      1. p(z|x) p(x) = p(x|z) p(z): the joint density, cut both ways. Take logarithms.
      2. So any one code would give us ln p(x), if only we had the posterior p(z|x). But that is
         p(x|z) p(z)/p(x): the number which we lack hides in it.
      3. In one case all is known. Let x = W z + b + σ·noise, with d numbers in x and q in z. Then
         p(x) = N(b, W Wᵀ + σ² I),  and with  M = Wᵀ W + σ² I
         p(z|x) = N(M⁻¹ Wᵀ (x - b), σ² M⁻¹).
    This linear world is a VAE too, with linear networks. In it we can check every line to come.
""")
d, q = 5, 2
vae = double(linear_vae(d, q, variance=0.3))
x = rng.standard_normal((4, d))
truth = Truth(vae)
codes = 2 * rng.standard_normal((1000, 4, q))
log_joint = vae.log_likelihood(tensor(x), tensor(codes)).numpy() + normal_log_pdf(
    codes, np.zeros(q), np.eye(q))
log_posterior = normal_log_pdf(codes, truth.posterior_mean(x), truth.posterior_cov)
lesson.check("ln p(x|z) + ln p(z) - ln p(z|x) = ln p(x), 1000 codes", log_joint - log_posterior,
             np.tile(truth.log_p(x), (1000, 1)))

# %%
lesson.step("""
    2. The evidence lower bound, three ways
    Claim. For any density q(z|x) let ELBO = E_q[ln p(x|z) + ln p(z) - ln q(z|x)]. Then
      ELBO = ln p(x) - KL(q(z|x) || p(z|x)) = E_q[ln p(x|z)] - KL(q(z|x) || p(z)) <= ln p(x)
      1. From Bayes. Step 1's sum is constant: average it over z ~ q, add and subtract ln q(z|x).
         ln p(x) = E_q[ln p(x|z) + ln p(z) - ln q(z|x)] + E_q[ln q(z|x) - ln p(z|x)].
         The second term is a KL, so it is >= 0; the first is what remains: the ELBO.
      2. From Jensen. Let w = p(x|z) p(z)/q(z|x). Then E_q[w] = ∫ p(x|z) p(z) dz = p(x), and since
         ln is concave  ln p(x) = ln E_q[w] >= E_q[ln w] = ELBO.  Equal if w is constant.
      3. From one KL for the whole data set. Two ways to make pairs (x, z): data first and then the
         encoder, p_r(x) q(z|x), or prior first and then the decoder, p(z) p(x|z). The KL between
         them is  E[ln p_r(x) + ln q(z|x) - ln p(z) - ln p(x|z)] = -H(p_r) - E_x[ELBO].  So to
         raise the mean ELBO is to bring two joint densities together. H(p_r) is not ours to change.
      4. Sorted by what is what: E_q[ln p(x|z)] asks that x can be got back from its code, and
         KL(q(z|x) || p(z)) charges for what the code tells. The model computes it in this form.
    In the linear world ln w is quadratic in the noise, so that a few points give E_q exactly.
""")
set_linear(vae.encoder, [*rng.standard_normal((q, d)) / 3, *np.zeros((q, d))],
           [0.3, -0.2, -1.0, -0.5])  # mu is linear in x, log_var the same everywhere
noise = sigma_points(len(x), q)
log_likelihood, kl = vae.terms(tensor(x), noise)
by_terms = log_likelihood.numpy().mean(axis=0) - kl.numpy()
by_jensen = vae.log_weights(tensor(x), noise).numpy().mean(axis=0)
lesson.check("ELBO + KL(q || p(z|x)) = ln p(x)", by_terms + gap(vae, x), truth.log_p(x))
lesson.check("E_q[ln w] is the same ELBO", by_jensen, by_terms)

root = np.tril(rng.standard_normal((d, d))) / 2 + np.eye(d)  # data p_r = N(1, S), S = root rootᵀ
S = root @ root.T
corners = 1.0 + math.sqrt(d) * np.concatenate([root.T, -root.T])
mean_elbo = vae.elbo(tensor(corners), sigma_points(len(corners), q)).item()
A = vae.encoder.layers[0].weight.numpy()[:q]
a, log_var = np.split(vae.encoder.layers[0].bias.numpy(), 2)
forth = (np.concatenate([np.ones(d), A @ np.ones(d) + a]),
         np.block([[S, S @ A.T], [A @ S, A @ S @ A.T + np.diag(np.exp(log_var))]]))
back = (np.concatenate([truth.b, np.zeros(q)]),
        np.block([[truth.cov, truth.W], [truth.W.T, np.eye(q)]]))
entropy = np.linalg.slogdet(2 * math.pi * math.e * S)[1] / 2
lesson.check("KL of the two joints = -H(p_r) - E_x[ELBO]", normal_kl(*forth, *back),
             -entropy - mean_elbo)

# %%
lesson.step("""
    3. What maximising the ELBO does, and what it does not
    Claim. With the decoder θ fixed, a better ELBO is a smaller KL(q || p(z|x)), nat for nat. But
    when θ moves too, the ELBO may rise while that KL grows.
      1. ELBO = ln p_θ(x) - KL(q || p_θ(z|x)), and the encoder φ appears in the KL only.
      2. θ moves both terms. Example: data ±2, x = w z + noise of variance 1, and w = 1. The
         posterior is N(x/2, 1/2). Let q be just that: the KL is 0, the ELBO is ln p(x).
      3. Now the best w for this q: E(x - w z)² = 4 - 4 w + (1 + 1/2) w² is least at w = 4/3, and
         falls from 3/2 to 4/3. The ELBO rises by 1/12.
      4. The new posterior is N(12 x/25, 9/25), and q is not it: KL = 1/2 [25/18 + 1/225 - 1
         - ln(25/18)] = .0324 > 0. So ln p rose by more than the ELBO: by 1/12 + .0324.
    (To alternate these two steps, each exactly, is the EM algorithm.)
""")
pair = tensor([[2.0], [-2.0]])
em = double(linear_vae(1, 1, variance=1.0))
set_linear(em.encoder, [[0.5], [0.0]], [0.0, math.log(0.5)])
elbos, log_ps, slopes = [], [], []
for w in (1.0, 4 / 3):
    set_linear(em.decoder, [[w]], [0.0])
    elbo = em.elbo(pair, sigma_points(2, 1))
    elbos.append(elbo.item())
    log_ps.append(Truth(em).log_p(pair.numpy()).mean())
    slopes.append(mg.grad(elbo, [em.decoder.layers[0].weight])[0].item())
lesson.check("q = p(z|x): ELBO = ln p(x)", elbos[0], log_ps[0])
lesson.check("at w = 4/3 the ELBO is flat in the decoder", slopes[1], 0.0)
lesson.check("the ELBO has gained 1/12", elbos[1] - elbos[0], 1 / 12)
lesson.check("KL(q || p(z|x)) has grown from 0", log_ps[1] - elbos[1],
             (25 / 18 + 1 / 225 - 1 - math.log(25 / 18)) / 2)
set_linear(em.encoder, [[12 / 25], [0.0]], [0.0, math.log(9 / 25)])
lesson.check("θ fixed: the encoder's gain is the KL's loss",
             em.elbo(pair, sigma_points(2, 1)).item() - elbos[1], log_ps[1] - elbos[1])

# %%
lesson.step("""
    4. The KL term, in closed form
    Claim. KL(N(μ, σ²) || N(0, 1)) = 1/2 [μ² + σ² - 1 - ln σ²], and over dimensions it adds up.
      1. ln q(z) - ln p(z) = -1/2 ln σ² - (z - μ)²/(2σ²) + z²/2.
      2. E_q (z - μ)² = σ² and E_q z² = μ² + σ². Put them in.
      3. A diagonal q is a product over the dimensions, and so is p. The logarithm of a product is
         a sum: KL = Σ_j KL_j. To average it over dimensions would weigh it down by q.
      4. It is 0 only at μ = 0, σ = 1: at a code that says nothing about x.
    KL(N(1, .5²) || N(0, 1)) = 1/2 [1 + .25 - 1 - ln .25] = .818147.
""")
mu, log_var = tensor([[1.0]]), tensor([[math.log(0.25)]])
half, standard = Gaussian(1.0, 0.5), Gaussian(0.0, 1.0)
n = 200_000
z = reparameterise(mu, log_var, mg.randn(n, 1, 1, generator=rng, dtype="float64")).numpy().ravel()
log_ratio = half.log_pdf(z) - standard.log_pdf(z)
closed = gaussian_kl(mu, log_var).item()
lesson.check("KL(N(1, .5²) || N(0, 1)), closed form", closed, 0.818147, tolerance=5e-7)
lesson.check("... by quadrature", kl_by_quadrature(half, standard), closed, "quadrature")
lesson.check("... by Monte Carlo, z = μ + exp(log_var/2) eps", log_ratio.mean(), closed,
             "monte-carlo", n=n, standard_error=log_ratio.std() / math.sqrt(n))
both = gaussian_kl(tensor([[1.0, -2.0]]), tensor([[math.log(0.25), math.log(3.0)]])).item()
lesson.check("KL of two dimensions is the sum", both,
             closed + kl_by_quadrature(Gaussian(-2, math.sqrt(3)), standard).value)

# %%
lesson.step("""
    5. Where the bound touches, and the shapes that q may have
    Claim. If q = p(z|x) then ELBO = ln p(x), and the ELBO is flat in the encoder. A diagonal q can
    be p(z|x) only if the columns of W are orthogonal.
      1. p(z|x) = N(M⁻¹ Wᵀ (x - b), σ² M⁻¹): its mean is linear in x and its covariance constant, as
         a linear encoder's are. M⁻¹ is diagonal just where Wᵀ W is.
      2. The best that a diagonal q can do: the right mean, and variances σ²/M_jj. What is left is
         KL = 1/2 [Σ ln M_jj - ln det M] >= 0 (Hadamard's inequality).
      3. For a rotation R, (W R)(W R)ᵀ = W Wᵀ: the same p(x). Choose R so that the columns become
         orthogonal: the gap closes, the likelihood stays. So a diagonal q costs nothing here, but
         it takes away the freedom to turn.
      4. Diagonal is not isotropic. With one variance for all dimensions, the best is the harmonic
         mean H of the posterior's v_j, and then 1/2 Σ ln(v_j/H) nats are lost.
""")


def set_posterior(vae: VAE, precision: np.ndarray) -> None:
    """The encoder with the true posterior's mean, and variances 1/precision."""
    truth = Truth(vae)
    to_mean = np.linalg.solve(truth.M, truth.W.T)
    zeros = np.zeros_like(to_mean)
    set_linear(vae.encoder, np.concatenate([to_mean, zeros]),
               np.concatenate([-to_mean @ truth.b, -np.log(precision)]))


def elbo_at(vae: VAE, x: np.ndarray) -> mg.Tensor:
    """The exact mean ELBO of a linear VAE."""
    return vae.elbo(tensor(x), sigma_points(len(x), truth.W.shape[1]))


set_posterior(vae, np.diag(truth.M) / truth.variance)
diagonal_loss = (np.log(np.diag(truth.M)).sum() - np.linalg.slogdet(truth.M)[1]) / 2
lesson.say(f"a diagonal q on slanted columns loses {diagonal_loss:.4f} nats")
lesson.check("slanted W: the best diagonal q lacks 1/2 [Σ ln M_jj - ln det M]",
             truth.log_p(x).mean() - elbo_at(vae, x).item(), diagonal_loss)
turn = np.linalg.eigh(truth.M)[1]
set_linear(vae.decoder, truth.W @ turn, truth.b)
turned = Truth(vae)
set_posterior(vae, np.diag(turned.M) / turned.variance)
lesson.check("W turned: the same ln p(x)", turned.log_p(x), truth.log_p(x))
lesson.check("... and with q = p(z|x) the ELBO reaches it", elbo_at(vae, x).item(),
             turned.log_p(x).mean())
slope = mg.grad(elbo_at(vae, x), vae.encoder.parameters())
lesson.check("... where it is flat in the encoder", np.concatenate([g.numpy().ravel()
                                                                    for g in slope]), 0.0)
v = np.diag(turned.posterior_cov)
H = 1 / np.mean(1 / v)
set_posterior(vae, np.full(q, 1 / H))
lesson.check("an isotropic q lacks 1/2 Σ ln(v_j/H)", turned.log_p(x).mean()
             - elbo_at(vae, x).item(), np.log(v / H).sum() / 2)

# %%
lesson.step("""
    6. A gradient through a random draw
    Claim. With z = μ + exp(log_var/2) eps and eps ~ N(0, 1), z has variance exp(log_var), and the
    gradient of E f(z) is the mean of ordinary derivatives, with a small variance.
      1. Var(z) = exp(log_var/2)² = exp(log_var): the deviation is the exponential of *half* of it.
      2. eps does not depend on μ or log_var, so  ∇ E f = E[f'(z) ∂z]:  in μ it is E f'(z).
      3. Without it, by the score function: ∇ ∫ q f = ∫ q f ∇ ln q = E[f(z) (z - μ)/σ²].
      4. f = z², μ = σ = 1. Both have the mean 2 μ = 2. With z = 1 + e:
         2 z has variance 4.  (1 + e)² e = e + 2 e² + e³ has the second moment
         E[e² + 4 e⁴ + e⁶ + 2 e⁴] = 1 + 12 + 15 + 6 = 34, so the variance 34 - 2² = 30.
    And the gap widens with the dimension: f sees them all, f' only its own.
""")
e = mg.randn(n, 1, generator=rng, dtype="float64")
scattered = reparameterise(tensor(np.zeros((n, 1))), tensor(np.full((n, 1), math.log(0.25))), e)
lesson.check("Var(z|x) = exp(log_var)", scattered.numpy().var(), 0.25, "monte-carlo", n=n,
             standard_error=0.25 * math.sqrt(2 / n))

mu = mg.Tensor(np.ones((n, 1)), requires_grad=True)
log_var = mg.Tensor(np.zeros((n, 1)), requires_grad=True)
z = reparameterise(mu, log_var, e)
slope_mu, = mg.grad((z * z).sum(), [mu])
slopes = {"reparameterised": (slope_mu.numpy().ravel(), lambda z: 2 * z, 4.0),
          "score function": ((z.numpy() ** 2 * (z.numpy() - 1)).ravel(),
                             lambda z: z ** 2 * (z - 1), 30.0)}
for name, (sampled, of, variance) in slopes.items():
    moment = [integrate(lambda z: Gaussian(1, 1).pdf(z) * (of(z) - 2) ** k, -12, 14, [1])
              for k in (1, 2, 4)]
    lesson.check(f"{name}: mean off 2", moment[0], 0.0, "quadrature")
    lesson.check(f"{name}: variance", moment[1], variance, "quadrature")
    lesson.check(f"{name}: variance of {n:,} gradients", sampled.var(), variance, "monte-carlo",
                 n=n, standard_error=math.sqrt((moment[2].value - variance ** 2) / n))

# %%
lesson.step("""
    7. The decoder's variance is the mean squared error
    Claim. If p(x|z) = N(x̂(z), s² I) with s² learned, then s² = mean (x - x̂)² at the optimum, and
    then -ln p(x|z) = d/2 [ln(2π·MSE) + 1] on average.
      1. -ln p(x|z) = 1/2 Σ_i [(x_i - x̂_i)²/s² + ln s² + ln 2π], a sum over the d numbers of x.
      2. In ln s² its derivative is 1/2 [d - Σ (x_i - x̂_i)²/s²], 0 where s² is the mean square.
      3. So "MSE + KL" hides a choice: s² = 1/2 weighs a squared error of 1 as 1 nat. Averaging the
         error over pixels hides another, s² = d/2: noise too loud for any detail. Learn s² instead.
""")
target, output = rng.standard_normal((2, 50, d))
mse = ((target - output) ** 2).mean()
likelihood = GaussianLikelihood()
likelihood.log_var = mg.Tensor([math.log(mse)], requires_grad=True, dtype="float64")
score = likelihood.log_prob(tensor(target), tensor(output)).mean()
lesson.check("-ln p(x|z) at s² = MSE", -score.item(), d / 2 * (math.log(2 * math.pi * mse) + 1))
lesson.check("... is flat in ln s²", mg.grad(score, [likelihood.log_var])[0], 0.0)

# %%
lesson.step("""
    8. Train a linear VAE into its optimum
    Claim. The best linear VAE with q codes for data with covariance eigenvalues λ_1 >= ... >= λ_d
    has σ² = the mean of the d - q last ones, the span of the first q eigenvectors, and
             ELBO = -1/2 [d ln 2π + Σ_{i<=q} ln λ_i + (d - q) ln σ² + d].
      1. By step 5 the best q(z|x) closes the gap, so the best ELBO is the best mean ln p(x) with
         p(x) = N(b, C), C = W Wᵀ + σ² I. That is probabilistic PCA.
      2. b = the mean, and then  mean ln p(x) = -1/2 [d ln 2π + ln det C + tr(C⁻¹ S)].
      3. C's best eigenvectors are those of S. C has λ_i where W reaches, |w_i|² = λ_i - σ², and
         else σ²: so tr(C⁻¹ S) = q + Σ_{i>q} λ_i/σ², ln det C = Σ_{i<=q} ln λ_i + (d - q) ln σ².
      4. In σ² it is flat where (d - q)/σ² = Σ_{i>q} λ_i/σ⁴: at the tail's mean. The trace is d.
      5. The diagonal q makes W's columns orthogonal (step 5.3): with no turn left they are the
         principal directions themselves, and q's variances are σ²/M_ii = σ²/λ_i.
    A linear autoencoder finds only the subspace (lesson 02). The noise is what tells axes apart.
""")
LAMBDA = np.array([8.0, 4.0, 2.0, 1.0, 0.3, 0.2, 0.1, 0.1])
d, n = len(LAMBDA), 500
draws = rng.standard_normal((n, d))
white = PCA.fit(draws, d)
axes, _ = np.linalg.qr(rng.standard_normal((d, d)))
points = white.encode(draws) * np.sqrt(LAMBDA / white.eigenvalues) @ axes.T  # covariance: exact
x = mg.Tensor(points, dtype="float32")


def fit(loss: Callable[..., mg.Tensor], model: nn.Module, batches: Batches, steps: int, lr: float,
        label: str, file: Path | None = None) -> History:
    """Minimise loss(*batch) over the model's parameters; lr is constant, then falls to 0.

    file: where a long training saves itself; started again, it goes on from there.
    """
    optimiser = optim.Adam(model.parameters(), lr)
    state = {"model": model, "optimiser": optimiser, "batches": batches, "rng": rng}

    def step(i: int) -> dict[str, mg.Tensor]:
        optimiser.lr = lr * min(1.0, 1.5 * (1 - i / steps))
        value = loss(*next(batches))
        minimise(value, optimiser, model, max_norm=300.0)
        return {label: value}

    return train(step, steps, Checkpoint(file, state) if file else None, label)


q = 3
pca = PCA.fit(points, q)
tail = pca.tail / (d - q)
optimum = -(d * LOG_2PI + np.log(pca.eigenvalues[:q]).sum() + (d - q) * math.log(tail) + d) / 2
trained = linear_vae(d, q, variance=1.0, learned=True)
linear_history = fit(lambda x: -trained.elbo(x, mg.randn(n, q, generator=rng)), trained,
                     Batches((x.numpy(),), n, rng), 1500, 0.06, "linear VAE")
double(trained)
truth = Truth(trained)
reached = elbo_at(trained, points).item()
W, gram = truth.W, truth.W.T @ truth.W
order = np.argsort(-np.diag(gram))
cosines = gram / np.sqrt(np.outer(np.diag(gram), np.diag(gram))) - np.eye(q)
mu, log_var = (t.numpy() for t in trained.encode(tensor(points)))
codes = reparameterise(*trained.encode(tensor(points)), sigma_points(n, q)).reshape(-1, q)
errors = trained.decode(codes).numpy().reshape(-1, n, d) - points
lesson.check("trained linear VAE: its ELBO", reached, optimum, "trained", 0.0028,
             why="101 runs: .0012 below, sd .0003; + 5 sd")
lesson.check("... its ln p(x) by the true marginal", truth.log_p(points).mean(), optimum, "trained",
             0.00017, why="101 runs: .00007 below, sd .00002; + 5 sd")
lesson.check("... σ² = the mean tail eigenvalue", truth.variance, tail, "trained", 0.0027,
             why="101 runs: off by .0006, sd .0004; + 5 sd")
lesson.check("... σ² = the mean squared error over q(z|x)", truth.variance, (errors ** 2).mean(),
             "trained", 0.0033, why="101 runs: off by .0008, sd .0005; + 5 sd")
lesson.check("... |w_i|² = λ_i - σ², ratio", np.diag(gram)[order] / (LAMBDA[:q] - tail), 1.0,
             "trained", 0.018, why="101 runs: off by .0065, sd .0022; + 5 sd")
lesson.check("... the columns' cosines with one another", cosines, 0.0, "trained", 0.017,
             why="101 runs: .0052, sd .0023; + 5 sd")
lesson.check("... exp(log_var) = σ²/λ_i, ratio",
             np.exp(log_var).mean(axis=0)[order] * LAMBDA[:q] / tail, 1.0, "trained", 0.033,
             why="101 runs: off by .0107, sd .0045; + 5 sd")
generated = np.linalg.eigvalsh(truth.cov)[::-1]
lesson.check("... eigenvalues of what it generates: λ_i, or σ², ratio",
             generated / np.append(LAMBDA[:q], np.full(d - q, tail)), 1.0, "trained", 0.015,
             why="101 runs: off by .0057, sd .0018; + 5 sd")

# %%
lesson.step("""
    9. Beta, and posterior collapse to the exact dimension
    Claim. Fix σ² and maximise E_q[ln p(x|z)] - β KL. Then dimension i lives if λ_i > β σ², with
    KL = 1/2 ln(λ_i/(β σ²)); every other one is off: its q is the prior, its KL is 0.
      1. Divide by β: E_q[ln p(x|z)]/β has the squared error over 2 β σ². Up to a constant that is
         the plain ELBO of a decoder of variance β σ². So step 8 holds with β σ² for σ².
      2. |w_i|² = λ_i - β σ² while that is positive. Below, the best w_i is 0: the code is not
         worth its price, its posterior is the prior. That is posterior collapse, and here it is
         the optimum itself, not a want of training.
      3. A living dimension has variance s² = β σ²/λ_i, and its mean spreads by 1 - s² over the
         data. The mean KL is 1/2 [(1 - s²) + s² - 1 - ln s²] = -1/2 ln s².
    We let five dimensions compete, at σ² = 1/2. The data are 2 d points with just this covariance,
    the noise is that of step 2: so the β-ELBO is exact, and only the start is left to chance.
""")
BETAS = (1.0, 3.0, 6.0, 12.0, 24.0)
sigma2, latent = 0.5, 5
corners = math.sqrt(d) * np.sqrt(LAMBDA)[:, None] * axes.T
x = mg.Tensor(np.concatenate([corners, -corners]), dtype="float32")
noise = mg.Tensor(sigma_points(len(x), latent), dtype="float32")
alive, kls = [], []
for beta in BETAS:
    vae = linear_vae(d, latent, sigma2)
    fit(lambda x: -vae.elbo(x, noise, beta), vae, Batches((x.numpy(),), len(x), rng), 1000, 0.1,
        f"beta {beta:g}")
    mu, log_var = vae.encode(x)
    kl = np.array([gaussian_kl(mu[:, [j]], log_var[:, [j]]).mean().item() for j in range(latent)])
    kls.append(np.sort(kl)[::-1])
    alive.append((kl > 0.05).sum())
theory = [np.log(np.maximum(LAMBDA[:latent] / (beta * sigma2), 1)) / 2 for beta in BETAS]
lesson.say("beta      " + "".join(f"{beta:5g}" for beta in BETAS)
           + "\ndimensions" + "".join(f"{count:5d}" for count in alive))
lesson.check("active dimensions = #{λ_i > β σ²}", alive,
             [(LAMBDA > beta * sigma2).sum() for beta in BETAS], "trained", 0.0,
             why="101 runs: never one more or less")
lesson.check("each dimension's KL = 1/2 ln(λ_i/(β σ²)), or 0", np.array(kls), np.array(theory),
             "trained", 0.001, why="101 runs: .0002 at the worst; 5 times that")

# %%
lesson.step("""
    10. Importance weights: a tighter bound for more samples
    Claim. L_K = E ln (1/K) Σ_k w_k, with w_k = p(x, z_k)/q(z_k|x), K draws from q, is a bound that
    only gets better: ELBO = L_1 <= L_2 <= ... <= ln p(x), and K (ln p(x) - L_K) → Var(w)/(2 p(x)²).
      1. E w = p(x), so Jensen gives L_K <= ln p(x) for every K.
      2. A mean of K + 1 weights is the mean over its K + 1 leave-one-out means. ln of a mean is at
         least the mean of the ln's (Jensen again), so L_{K+1} >= L_K.
      3. Let u = w/p(x), of mean 1, and δ = mean u - 1, of variance Var(u)/K. From ln(1 + δ) =
         δ - δ²/2 + ...  ln p(x) - L_K = Var(u)/(2K) + O(1/K²): the gap falls as 1/K, if Var(u) is
         finite.
      4. To know L_K exactly:  ln a = ∫_0^∞ (e^-t - e^-at)/t dt  (Frullani). Take a = Σ u_k and the
         mean:  L_K - ln p(x) = -ln K + ∫ (e^-t - φ(t)^K)/t dt,  φ(t) = E e^-tu.  So two integrals
         on the line, for any K.
    Example: x = 1.5, p(x|z) = N(z, 1), and q = N(.2, .9²) where the posterior is N(.75, .5).
""")
poor = double(linear_vae(1, 1, variance=1.0))
set_linear(poor.decoder, [[1.0]], [0.0])
set_linear(poor.encoder, [[0.0], [0.0]], [0.2, 2 * math.log(0.9)])
at = tensor([[1.5]])
log_p = Truth(poor).log_p(at.numpy()).item()
grid = np.linspace(-12, 12, 6001)  # of eps; sums over it are integrals to rounding
mass = np.exp(-grid ** 2 / 2)
mass /= mass.sum()
u = np.exp(poor.log_weights(at, tensor(grid[:, None, None])).numpy().ravel() - log_p)
log_t = np.linspace(-40, 35, 3001)
phi = np.array([mass @ np.exp(-math.exp(s) * u) for s in log_t])


def exact_bound(k: int) -> float:
    """L_K - ln p(x), by step 4; the integral over ln t, where dt/t = d ln t."""
    integrand = np.exp(-np.exp(log_t)) - phi ** k
    return integrand.sum() * (log_t[1] - log_t[0]) - math.log(k)


KS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
bounds = np.array([exact_bound(k) for k in KS])
lesson.check("E_q[w] = p(x)", mass @ u, 1.0, "quadrature", 1e-9)
lesson.check("L_1 = ELBO", bounds[0] + log_p, poor.elbo(at, sigma_points(1, 1)).item(),
             "quadrature", 1e-9)
lesson.check("largest fall of L_K as K grows", np.maximum(-np.diff([*bounds, 0.0]), 0).max(), 0.0,
             "quadrature")
variance = mass @ (u - 1) ** 2
at_1000, at_2000 = (-k * exact_bound(k) for k in (1000, 2000))
lesson.check("K (ln p(x) - L_K) → Var(w)/(2 p(x)²), from K = 1000 and 2000", 2 * at_2000 - at_1000,
             variance / 2, "quadrature", 1e-6)
for k in (1, 5, 50):
    many = 100_000 // k
    noise = mg.randn(k, many, 1, generator=rng, dtype="float64")
    sampled = importance_bound(poor.log_weights(tensor(np.full((many, 1), 1.5)), noise)).numpy()
    lesson.check(f"L_{k} of the model, sampled", sampled.mean(), exact_bound(k) + log_p,
                 "monte-carlo", n=many, standard_error=sampled.std() / math.sqrt(many))

# %%
lesson.step("""
    11. Surgery on the KL term: what the codes tell, and how they lie
    Claim. Over N points, with q̄(z) = (1/N) Σ_n q(z|x_n) the aggregate of their codes,
             mean KL(q(z|x_n) || p(z)) = [ln N - E_q̄ H(n|z)] + KL(q̄ || p).
      1. Draw n evenly from 1..N and z from q(z|x_n): a joint density, with z's marginal q̄.
      2. mean KL = E ln[q(z|n)/p(z)] = E ln[q(z|n)/q̄(z)] + E_q̄ ln[q̄(z)/p(z)].
      3. The first is the mutual information I(n; z) = H(n) - H(n|z) = ln N - E H(n|z): what a code
         tells about which point it came from. Mind the minus: the *less* doubt is left, the more
         was told. It cannot exceed ln N.
      4. The second is what matters for sampling: the decoder has been trained on codes from q̄, and
         generation draws them from p. A VAE pays for the difference; an autoencoder does not.
    A diagonal q(z|x) does not make the latent dimensions independent: the aggregate may well be
    slanted. Cov_q̄ = diag(mean variance) + Cov(mu), and mu is free.
""")
N = 8
mu, log_var = tensor(1.5 * rng.standard_normal((N, 1))), tensor(rng.uniform(-3, 0, (N, 1)))
aggregate = GaussianMixture(np.full(N, 1 / N), [
    Gaussian(m, math.exp(v / 2)) for m, v in zip(mu.numpy().ravel(), log_var.numpy().ravel())])


def doubt(z: np.ndarray) -> np.ndarray:
    """q̄(z) H(n|z): how unsure z leaves us of which point it came from."""
    r = aggregate.responsibilities(z)
    return aggregate.pdf(z) * -(r * np.log(np.maximum(r, 1e-300))).sum(axis=0)


left = integrate(doubt, *aggregate.support(), aggregate.breakpoints()).value
information = math.log(N) - left
mismatch = kl_by_quadrature(aggregate, standard).value
lesson.say(f"""
    {information:.3f} nats, of at most ln {N} = {math.log(N):.3f}, tell the points apart;
    {mismatch:.3f} nats keep the aggregate from being the prior""")
lesson.check("mean KL = [ln N - E H(n|z)] + KL(q̄ || p)", information + mismatch,
             gaussian_kl(mu, log_var).mean().item(), "quadrature")

line = tensor([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]])  # three points, diagonal q's of variance 1/4
z = reparameterise(line, tensor(np.full((3, 2), math.log(0.25))), sigma_points(3, 2)).numpy()
slant = np.cov(z.reshape(-1, 2).T, bias=True)
lesson.check("diagonal q's, slanted aggregate: correlation", slant[0, 1] / slant[0, 0],
             (2 / 3) / (2 / 3 + 1 / 4))

# %%
lesson.step("""
    12. Images: what each term does to the codes
    Claim. Reconstruction alone spreads the codes wherever it likes, the KL alone piles all of them
    on the prior, and only both together fill the prior with an orderly map of the data.
      1. With β = 0 nothing pays for noise, and it only hurts: log_var → -∞. What is left is an
         autoencoder. So that is what we train for "reconstruction alone".
      2. The KL alone is 0 where q(z|x) = p(z) for every x: codes that say nothing.
      3. Both: near codes overlap, so they must decode to images that are alike.
      4. To generate, draw z from the prior and decode it; the encoder has no part in it. That works
         as far as q̄ is p (step 11): the decoder knows only codes that it has met.
      5. For binary pixels, ln p(x|z) = Σ_i [x_i ln p_i + (1 - x_i) ln(1 - p_i)]. It is a sum: only
         so do the probabilities of all binary images add up to 1. With a mean over the pixels in
         its place the KL would weigh hundreds of times too much.
    Two latent dimensions, so that they can be seen. Pixels are greys in [0, 1]; the Bernoulli
    log-likelihood of a grey is the expected one of a pixel that is 1 with that probability.
""")
binary = np.stack(np.meshgrid(*[[0.0, 1.0]] * 4), axis=-1).reshape(-1, 4)  # all 2⁴ images
log_p_of_each = bernoulli_log_likelihood(tensor(binary), tensor(rng.standard_normal(4)))
lesson.check("the 16 images of 4 pixels: their probabilities' sum", ops.exp(log_p_of_each).sum(),
             1.0)

CLASSES = 10 if lesson.full else 5  # two numbers are few: by default they are to hold five classes
STEPS, HIDDEN, LR = (12_000, 256, 0.003) if lesson.full else (2_000, 128, 0.008)
shape = images.train.shape[1:]
pixels = math.prod(shape)
x_train = images.train[images.train_labels < CLASSES].reshape(-1, pixels)
y_train = images.train_labels[images.train_labels < CLASSES]
x_test = images.test[images.test_labels < CLASSES].reshape(-1, pixels)
y_test = images.test_labels[images.test_labels < CLASSES]
names = images.names[:CLASSES]
BATCH = 64


def nets(outputs: int) -> tuple[nn.Module, nn.Module]:
    """An encoder with so many outputs, and a decoder of two-dimensional codes."""
    return (nn.MLP((pixels, HIDDEN, HIDDEN, outputs), nn.Tanh, rng),
            nn.MLP((2, HIDDEN, HIDDEN, pixels), nn.Tanh, rng))


def noise_for(x: mg.Tensor) -> mg.Tensor:
    return mg.randn(len(x), 2, generator=rng)


batches = Batches((x_train,), BATCH, rng)
vae = VAE(*nets(4), BernoulliLikelihood())
ae = Autoencoder()  # the same networks; only the loss differs
ae.encoder, ae.decoder = nets(2)
silent = VAE(*nets(4), BernoulliLikelihood())
vae_history = fit(lambda x: -vae.elbo(x, noise_for(x)), vae, batches, STEPS, LR, "VAE: -ELBO")
ae_history = fit(lambda x: -bernoulli_log_likelihood(x, ae(x)).mean(), ae, batches, STEPS, LR,
                 "AE: -ln p(x|z)")
fit(lambda x: gaussian_kl(*silent.encode(x)).mean(), silent.encoder, batches, STEPS // 10, LR,
    "KL alone")

with mg.no_grad():
    test = mg.Tensor(x_test)
    mu, log_var = vae.encode(test)
    ae_codes = ae.encode(test)
    ae_log_likelihood = bernoulli_log_likelihood(test, ae.decode(ae_codes)).mean().item()
    log_likelihood, kl = (t.numpy().astype(float) for t in vae.terms(test, noise_for(test)))
    silent_codes = reparameterise(*silent.encode(test), noise_for(test)).numpy()
    silent_kl = gaussian_kl(*silent.encode(test)).mean().item()
    vae_codes = reparameterise(mu, log_var, noise_for(test)).numpy()


def told_and_mismatch(mu: np.ndarray, log_var: np.ndarray, draws: int = 5) -> np.ndarray:
    """Step 11's two terms from draws of each q(z|x_n): (2, draws, N); their means are the terms."""
    z = mu + np.exp(log_var / 2) * rng.standard_normal((draws, *mu.shape))
    log_q = np.stack([-((z_of_n[:, None] - mu) ** 2 / np.exp(log_var) + log_var + LOG_2PI).sum(-1)
                      for z_of_n in z]) / 2  # (draws, z's own point, any point)
    own = np.diagonal(log_q, axis1=1, axis2=2)
    log_aggregate = np.logaddexp.reduce(log_q, axis=2) - math.log(len(mu))
    log_prior = -(z ** 2 + LOG_2PI).sum(-1) / 2
    return np.stack([own - log_aggregate, log_aggregate - log_prior])


told, mismatch = told_and_mismatch(mu.numpy().astype(float), log_var.numpy().astype(float))
exact_kl = gaussian_kl(mu, log_var).numpy().astype(float)
elbo, most = log_likelihood.mean() - kl.mean(), math.log(len(x_test))
lesson.say(f"""
    {len(x_test):,} test images         ln p(x|z)        KL
    reconstruction alone    {ae_log_likelihood:9.1f}         -
    KL alone                        -  {silent_kl:8.4f}
    both, the ELBO {elbo:7.1f} = {log_likelihood.mean():7.1f} - {kl.mean():8.2f}
    Of that KL, {told.mean():.2f} nats (at most {most:.2f}) tell the images apart,
    and {mismatch.mean():.2f} keep the codes' aggregate from being the prior.
    The codes' standard deviations: AE {ae_codes.numpy().std():.1f}, VAE {vae_codes.std():.2f}.""")
lesson.check("KL alone: the codes say nothing", silent_kl, 0.0, "trained", 0.0001,
             why="26 runs: .00004, sd .00001; + 5 sd")
lesson.check("the images' mean KL, by draws from q(z|x)", told.mean() + mismatch.mean(),
             exact_kl.mean(), "monte-carlo", n=told.size,
             standard_error=(told + mismatch - exact_kl).std() / math.sqrt(told.size))

# %%
lesson.step("""
    13. Prior samples: a VAE's and an autoencoder's
    Claim. Both decoders draw good images from codes of real images. From codes drawn from N(0, I)
    only the VAE's does, for that is where its codes are.
      1. A judge that has never seen a decoder: a classifier of real images, p(label|x).
      2. A good sample has one clear label, so H(label|sample) is small. And good samples have all
         labels, so H(label) is large. Together: I = H(label) - E H(label|sample), the logarithm of
         the Inception score (Salimans et al. 2016). e^I counts the classes that it can tell.
      3. Blur is the same for codes of either kind, so compare each model's prior samples with its
         own reconstructions.
      4. An autoencoder has no prior. It can be given one later: a Gaussian fitted to its codes.
         In two dimensions and five classes that does as well as the VAE's own.
""")
judge = nn.Sequential(nn.Linear(pixels, 128, generator=rng), nn.ReLU(),
                      nn.Linear(128, len(names), generator=rng))
fit(lambda x, y: losses.cross_entropy(judge(x), y), judge, Batches((x_train, y_train), 128, rng),
    2000 if lesson.full else 400, 0.003, "judge")


def verdict(samples: mg.Tensor) -> tuple[float, float]:
    """The share of samples that the judge is 90% sure of, and e^I, the classes that it can tell."""
    p = ops.softmax(judge(samples)).numpy().astype(float)
    mean = p.mean(axis=0)
    information = (p * np.log(np.maximum(p, 1e-30) / mean)).sum(axis=1).mean()
    return (p.max(axis=1) > 0.9).mean(), math.exp(information)


with mg.no_grad():
    prior = mg.randn(len(x_test), 2, generator=rng)
    fitted = rng.multivariate_normal(ae_codes.numpy().mean(axis=0), np.cov(ae_codes.numpy().T),
                                     len(x_test))
    sets = {
        "real images": test,
        "VAE, codes of images": vae.decode(mg.Tensor(vae_codes)),
        "VAE, codes from N(0, I)": vae.decode(prior),
        "AE, codes of images": ops.sigmoid(ae.decode(ae_codes)),
        "AE, codes from N(0, I)": ops.sigmoid(ae.decode(prior)),
        "AE, codes from a fit": ops.sigmoid(ae.decode(mg.Tensor(fitted, dtype="float32"))),
    }
    verdicts = {name: verdict(samples) for name, samples in sets.items()}
ratio = {kind: verdicts[f"{kind}, codes from N(0, I)"][1] / verdicts[f"{kind}, codes of images"][1]
         for kind in ("VAE", "AE")}
lesson.say("\n".join([f"{'':26}judge is sure   classes told"] + [
    f"{name:26}{sure:12.0%}{count:15.2f}" for name, (sure, count) in verdicts.items()]))
lesson.check("VAE: classes told by prior samples / by codes of images", ratio["VAE"], 1.0,
             "trained", 0.152, why="26 runs: .082 below, sd .014; + 5 sd")
lesson.check("AE: how far that exceeds the VAE's", max(0.0, ratio["AE"] - ratio["VAE"]), 0.0,
             "trained", 0.0, why="26 runs: the AE's .39 to .58, the VAE's .88 to .95")

# %%
lesson.step("""
    14. Between two images
    Claim. Half-way between two codes lies an image; half-way between two images, a double exposure.
      1. A mixture of pixels, (x_a + x_b)/2, has the ink of both.
      2. The decoder's image at (z_a + z_b)/2 is what images with such codes look like, if there are
         any. In two dimensions there mostly are, for an autoencoder too.
""")
with mg.no_grad():
    a, b = rng.permutation(len(x_test))[:len(x_test) // 2 * 2].reshape(2, -1)
    middles = [mg.Tensor((ends[a] + ends[b]) / 2)
               for ends in (x_test, ae_codes.numpy(), mu.numpy())]
    half_way = {"pixels": middles[0], "AE codes": ops.sigmoid(ae.decode(middles[1])),
                "VAE codes": vae.decode(middles[2])}
    sure = {name: verdict(samples)[0] for name, samples in half_way.items()}
lesson.say("half-way between two test images the judge is 90% sure of\n" + "\n".join(
    f"{share:12.0%} of the mixtures of {name}" for name, share in sure.items()))


# %% The figures
def path(start: np.ndarray, end: np.ndarray, steps: int = 10) -> np.ndarray:
    """The points on the straight line from start to end, (steps, ...)."""
    t = np.linspace(0, 1, steps, dtype=np.float32).reshape(-1, *[1] * start.ndim)
    return (1 - t) * start + t * end


def as_images(flat: Any) -> np.ndarray:
    return (flat.numpy() if isinstance(flat, mg.Tensor) else flat).reshape(-1, *shape)


def figure_of_exact_cases() -> None:
    """The linear VAE's way to its optimum; the KL of each dimension by beta; L_K by K."""
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.4), layout="constrained")
    elbos = -linear_history.losses["linear VAE"]
    left.plot(np.arange(1, len(elbos) + 1), elbos, color=LEARNED, lw=0.8,
              label=f"ELBO, sampled; exactly {reached:.4f} at the end")
    left.axhline(optimum, color=THEORY, ls="--", lw=1.2, label=f"the optimum, {optimum:.4f}")
    left.set(xscale="log", xlabel="step", ylabel="nats", ylim=(optimum - 6, optimum + 0.6))
    left.set_title("A linear VAE climbs to the exact optimum")
    left.legend(loc="lower right")
    by_beta = np.geomspace(0.8, 30, 300)
    for i, value in enumerate(LAMBDA[:latent]):
        middle.plot(by_beta, np.log(np.maximum(value / (by_beta * sigma2), 1)) / 2, color=THEORY,
                    lw=1.2, label="½ ln(λᵢ / βσ²), or 0" if i == 0 else None)
        middle.plot(BETAS, np.array(kls)[:, i], "o", color=LEARNED, clip_on=False,
                    label="trained" if i == 0 else None)
    middle.set(xscale="log", xlabel="β", ylabel="KL of each dimension, nats", ylim=(0, None))
    middle.set_xticks(BETAS, [f"{beta:g}" for beta in BETAS], minor=False)
    middle.set_title("One by one the dimensions collapse")
    middle.legend()
    right.axhline(log_p, color=THEORY, ls="--", lw=1.2, label="ln p(x)")
    right.plot(KS, bounds + log_p, color=LEARNED, marker="o", ms=4, label="$L_K$, exact")
    right.set(xscale="log", xlabel="K, samples a point", ylabel="nats")
    right.set_title("$L_K$ climbs from the ELBO to ln p(x)")
    right.legend(loc="lower right")
    lesson.figure(fig, "exact")


def figure_of_maps() -> None:
    """Where the codes lie under each loss, and what comes back from them."""
    fig, axes = plt.subplots(2, 3, figsize=(14, 7.4), layout="constrained",
                             gridspec_kw={"height_ratios": [3, 1]})
    with mg.no_grad():
        maps = [(f"Reconstruction alone: ln p(x|z) = {ae_log_likelihood:.0f}", ae_codes.numpy(),
                 ops.sigmoid(ae(test[:16]))),
                (f"KL alone: {silent_kl:.4f}", silent_codes,
                 silent.decode(mg.Tensor(silent_codes[:16]))),
                (f"Both: {log_likelihood.mean():.0f} − KL {kl.mean():.1f}", vae_codes,
                 vae.decode(mg.Tensor(vae_codes[:16])))]
    colours = plt.get_cmap("tab10")
    for (top, bottom), (title, codes, back) in zip(axes.T, maps):
        for label, name in enumerate(names):
            top.scatter(*codes[y_test == label].T, color=colours(label), s=7, alpha=0.7, lw=0,
                        label=name)
        top.set_title(title)
        top.set_aspect("equal", "datalim")
        rows = np.concatenate([x_test[:8], back.numpy()[:8], x_test[8:16], back.numpy()[8:16]])
        show(bottom, as_images(rows), columns=8)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), markerscale=2.5, handletextpad=0,
               loc="outside upper center", ncols=len(names))
    axes[1, 0].set_title("rows: image, what comes back", fontsize="small", fontweight="normal")
    lesson.figure(fig, "maps")


def figure_of_the_manifold(side: int = 16) -> None:
    """The decoder over the whole prior: a grid of equal probability, by Gaussian quantiles."""
    steps = standard.quantile((np.arange(side) + 0.5) / side)
    codes = np.stack(np.meshgrid(steps, -steps), axis=-1).reshape(-1, 2)
    with mg.no_grad():
        decoded = vae.decode(mg.Tensor(codes, dtype="float32"))
    fig, ax = plt.subplots(figsize=(8, 8), layout="constrained")
    ax.imshow(sheet(as_images(decoded), side, gap=0), interpolation="nearest",
              extent=(0, 1, 0, 1))
    ticks = np.array([-1.5, -1, -0.5, 0, 0.5, 1, 1.5])
    ax.set_xticks(standard.cdf(ticks), [f"{t:g}" for t in ticks])
    ax.set_yticks(standard.cdf(ticks), [f"{t:g}" for t in ticks])
    ax.set(xlabel="$z_1$", ylabel="$z_2$")
    ax.set_title("The decoded prior: each cell holds the same probability")
    lesson.figure(fig, "manifold")


def figure_of_samples() -> None:
    """Prior samples of both decoders, and ways from one image to another."""
    fig, axes = plt.subplots(1, 3, figsize=(15, 5.4), layout="constrained")
    for ax, name in zip(axes, ("VAE, codes from N(0, I)", "AE, codes from N(0, I)")):
        show(ax, as_images(sets[name])[:100], 10,
             f"{name}: {verdicts[name][1]:.1f} of {len(names)} classes")
    rows = []
    with mg.no_grad():
        for i in range(3):
            start, end = (int(np.argmax(y_test == (i + shift) % len(names))) for shift in (0, 2))
            rows.append(vae.decode(mg.Tensor(path(*mu.numpy()[[start, end]]))).numpy())
            way = mg.Tensor(path(*ae_codes.numpy()[[start, end]]))
            rows.append(ops.sigmoid(ae.decode(way)).numpy())
            rows.append(path(x_test[start], x_test[end]))
    show(axes[2], as_images(np.concatenate(rows)), 10, "From one image to another")
    for row in range(9):
        axes[2].text(-4, (row + 0.5) * (shape[1] + 1), ("VAE", "AE", "pixels")[row % 3],
                     ha="right", va="center")
    lesson.figure(fig, "samples")


figure_of_exact_cases()
figure_of_maps()
figure_of_the_manifold()
figure_of_samples()


# %% --full: the likelihood of a published model
def binarise(x: mg.Tensor) -> mg.Tensor:
    """Each pixel is 1 with its grey's probability, drawn anew every time (Burda et al. 2016)."""
    return (mg.rand(*x.shape, generator=rng) < x).astype("float32")


def bound_of(vae: VAE, x: mg.Tensor, k: int, latent: int) -> np.ndarray:
    """L_K of every point, (n,), a hundred points and fifty draws at a time."""
    bounds = []
    for start in lesson.progress(range(0, len(x), 100), f"L_{k}"):
        part = x[start:start + 100]
        weights = [vae.log_weights(part, mg.randn(50, len(part), latent, generator=rng)).numpy()
                   for _ in range(k // 50)]
        bounds.append(importance_bound(tensor(np.concatenate(weights))).numpy())
    return np.concatenate(bounds)


def likelihood_of_a_published_model(latent: int = 50, epochs: int = 150) -> None:
    """The one-layer VAE of Burda et al. (2016, section 5): 2 x 200 tanh each way, 50 codes."""
    everything = load(lesson, 60_000, 10_000)
    x = everything.train.reshape(len(everything.train), -1)
    unseen = everything.test.reshape(len(everything.test), -1)
    vae = VAE(nn.MLP((x.shape[1], 200, 200, 2 * latent), nn.Tanh, rng),
              nn.MLP((latent, 200, 200, x.shape[1]), nn.Tanh, rng), BernoulliLikelihood())
    batch, start = 50, time.perf_counter()
    file = Path(lesson.args.out) / f"{lesson.name}_{lesson.args.data}_{lesson.seed}.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    fit(lambda x: -vae.elbo(binarise(x), mg.randn(batch, latent, generator=rng)), vae,
        Batches((x,), batch, rng), epochs * len(x) // batch, 0.002, "50-d VAE", file)
    minutes = (time.perf_counter() - start) / 60
    few, many, subset = 200, 5000, 500
    with mg.no_grad():
        x = binarise(mg.Tensor(unseen))
        elbo = vae.elbo(x, mg.randn(len(x), latent, generator=rng)).item()
        by_few = bound_of(vae, x, few, latent)
        more = bound_of(vae, x[:subset], many, latent) - by_few[:subset]
    error = math.sqrt(by_few.var() / len(x) + more.var() / subset)
    lesson.say(f"""
        {epochs} epochs of {len(everything.train):,} images, binarised anew each time; trained in
        {minutes:.0f} minutes (less if it went on from {file.name})
        test images {len(x):,}:  -ELBO {-elbo:.2f}   -L_{few} {-by_few.mean():.2f}
        L_{many} - L_{few}, on {subset} of them: {more.mean():.3f}
        -ln p(x) <= -L_{many} = {-by_few.mean() - more.mean():.2f} ± {error:.2f} nats
        Burda et al. 2016, after 3,280 epochs: 86.76, on MNIST binarised the same way""")
    if lesson.args.data == "mnist":
        lesson.check("-ln p(x) of MNIST, against 86.76", -by_few.mean() - more.mean(), 86.76,
                     "trained", 3.0, why="1 run of 150 epochs: 89.23; + 2 errors of .25")
    fig, ax = plt.subplots(figsize=(6, 6), layout="constrained")
    with mg.no_grad():
        samples = vae.decode(mg.randn(100, latent, generator=rng)).numpy()
    show(ax, samples.reshape(-1, *shape), 10, f"{latent} latent dimensions: prior samples")
    lesson.figure(fig, "50d")


if lesson.full:
    likelihood_of_a_published_model()

# %%
lesson.step("""
    15. Exercises
      a. A popular loss averages the squared or binary error over d pixels, and the KL over q latent
         dimensions. Which β is that?
      b. Train with a Gaussian decoder of variance s² and β = 1, or of variance 1 and some β. Which
         β gives the same encoder and decoder?
      c. All codes collapse, q(z|x) = p(z). What is the best ELBO then, for a Gaussian decoder with
         a learned variance?
      d. Someone samples with z = μ + exp(log_var) eps. By how much is the variance wrong where the
         encoder says 1/4?
    Answers
      a. (1/d) E ln p - (1/q) KL = (1/d) [E ln p - (d/q) KL]: β = d/q; for 784 pixels and 2 codes
         392. By step 9 nothing survives that has not 392 times the noise's variance.
      b. E ln p(x|z) is -|x - x̂|²/(2 s²) and what does not depend on the networks. Multiply by s²:
         β = s². The gradients are proportional.
      c. The decoder can only answer with the mean of the data, and s² is their variance:
         -d/2 [ln(2π s²) + 1].
      d. It takes 1/4 for the deviation: the variance is 1/16, a quarter of what it should be.
""")
tiny = double(linear_vae(6, 2, variance=0.7))
unit = double(linear_vae(6, 2, variance=1.0))
unit.load_state_dict(tiny.state_dict() | {"likelihood.log_var": np.zeros(1)})
some, eps = tensor(rng.standard_normal((3, 6))), tensor(rng.standard_normal((3, 2)))
log_likelihood, kl = tiny.terms(some, eps)
lesson.check("exercise a: mean and mean are β = d/q", (log_likelihood / 6 - kl / 2).mean().item(),
             tiny.elbo(some, eps, beta=6 / 2).item() / 6)
s2 = math.exp(tiny.likelihood.log_var.item())
first = mg.grad(tiny.elbo(some, eps), tiny.parameters())
second = mg.grad(unit.elbo(some, eps, beta=s2), unit.parameters())
lesson.check("exercise b: β = s², all gradients", np.concatenate([
    (s2 * g - h).numpy().ravel() for g, h in zip(first, second)]), 0.0)
set_linear(tiny.decoder, np.zeros((6, 2)), some.numpy().mean(axis=0))
set_linear(tiny.encoder, np.zeros((4, 6)), np.zeros(4))
spread = some.numpy().var(axis=0).mean()
tiny.likelihood.log_var = tensor([math.log(spread)])
lesson.check("exercise c: the ELBO of silent codes", tiny.elbo(some, eps).item(),
             -6 / 2 * (math.log(2 * math.pi * spread) + 1))
quarter = reparameterise(tensor([[0.0]]), tensor([[math.log(1 / 4)]]), tensor([[1.0]])).item()
lesson.check("exercise d: the variance that is right is 4 times that", quarter ** 2 / (1 / 4) ** 2,
             4.0)

lesson.finish()
