"""Variational autoencoders: a decoder that generates, and an encoder that inverts it.

Kingma and Welling, Auto-Encoding Variational Bayes, 2014. Data are thought to arise in two steps,

    z ~ p(z) = N(0, I),    x ~ p_theta(x|z),

a code from the prior, then a point from the decoder. What is wanted, ln p(x) = ln of the integral
of p(x|z) p(z), no network can compute. So a second network, the encoder, guesses which codes x may
have come from, q_phi(z|x) = N(mu, diag(exp(log_var))), and both climb a bound on ln p(x) (eq. 3):

    ELBO = E_q[ln p(x|z)] - KL(q(z|x) || p(z)) = ln p(x) - KL(q(z|x) || p(z|x)) <= ln p(x).

The expectation is an average over eps ~ N(0, I), through z = mu + exp(log_var/2) eps (eq. 4). The
caller draws eps and hands it in: one eps, one answer. Lesson 03 derives and checks each line.
"""

import math
from typing import Any

from .. import nn, ops
from ..autodiff.tensor import Tensor

LOG_2PI = math.log(2 * math.pi)


class VAE(nn.Module):
    """An encoder, a decoder, and what the decoder's output says about x.

    encoder: x (n, ...) -> (n, 2 latent), mu and log_var side by side. decoder: z (n, latent) ->
    (n, ...), as many numbers as x has. likelihood: `BernoulliLikelihood` or `GaussianLikelihood`.

    To generate, draw z from the prior and decode it: `vae.decode(mg.randn(n, latent))`.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, likelihood: nn.Module) -> None:
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood: Any = likelihood

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and log_var of q(z|x), each (n, latent). Var(z|x) = exp(log_var)."""
        output = self.encoder(x)
        if output.ndim != 2 or output.shape[1] % 2:
            raise ValueError(f"VAE: encoder must give (n, 2 latent), mu and log_var side by side; "
                             f"got {output.shape}")
        mu, log_var = ops.split(output, output.shape[1] // 2, axis=1)
        return mu, log_var

    def decode(self, z: Tensor) -> Tensor:
        """E[x|z] for codes z (n, latent), in the shape that the decoder gives."""
        return self.likelihood.mean(self.decoder(z))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """ln p(x|z) in nats, summed over the pixels: x (n, ...), z (n, latent) give (n,).

        Several codes for each x, z (K, n, latent), give (K, n).
        """
        output = self.decoder(z.reshape(-1, z.shape[-1]))
        x = x.reshape(len(x), -1)
        if output.size != math.prod(z.shape[:-1]) * x.shape[1]:
            raise ValueError(f"VAE: decoder must give {x.shape[1]} numbers a code, as many as x "
                             f"has; got {output.shape}")
        return self.likelihood.log_prob(x, output.reshape(*z.shape[:-1], x.shape[1]))

    def terms(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """The two terms of each point's ELBO, (n,) and (n,), nats: ln p(x|z) and KL(q || p(z)).

        eps (n, latent): one draw from N(0, I) a point. The KL is exact (eq. 7 and appendix B).
        """
        mu, log_var = self.encode(x)
        return self.log_likelihood(x, reparameterise(mu, log_var, eps)), gaussian_kl(mu, log_var)

    def elbo(self, x: Tensor, eps: Tensor, beta: float = 1.0) -> Tensor:
        """E_q[ln p(x|z)] - beta KL, in nats, averaged over the batch (eq. 10): to be maximised.

        beta = 1 is the bound on ln p(x). Another beta is the beta-VAE of Higgins et al. (2017).
        """
        log_likelihood, kl = self.terms(x, eps)
        return (log_likelihood - beta * kl).mean()

    def log_weights(self, x: Tensor, eps: Tensor) -> Tensor:
        """ln w = ln p(x|z) + ln p(z) - ln q(z|x), (K, n), for eps (K, n, latent).

        E_q[w] = p(x), and E_q[ln w] is the ELBO (eq. 2). For `importance_bound`.
        """
        if eps.ndim != 3:
            raise ValueError(f"VAE.log_weights: eps must be (K, n, latent), got {eps.shape}")
        mu, log_var = self.encode(x)
        z = reparameterise(mu, log_var, eps)
        log_prior = -0.5 * (z * z + LOG_2PI).sum(-1)
        return self.log_likelihood(x, z) + log_prior - gaussian_log_likelihood(z, mu, log_var)


def reparameterise(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """z = mu + exp(log_var/2) eps, a draw from q that mu and log_var have a gradient through.

    mu, log_var (n, latent); eps (n, latent) or (K, n, latent), from N(0, I) (section 2.4).
    """
    if eps.shape[-2:] != mu.shape:
        raise ValueError(f"reparameterise: eps must be {mu.shape} like mu, or (K, ...) of these; "
                         f"got {eps.shape}")
    return mu + ops.exp(0.5 * log_var) * eps


def gaussian_kl(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mu, diag(exp(log_var))) || N(0, I)), nats: (n, latent) give (n,) (appendix B).

    1/2 sum_j [mu_j^2 + sigma_j^2 - 1 - ln sigma_j^2], a sum over the latent dimensions.
    """
    return 0.5 * (mu * mu + ops.exp(log_var) - 1.0 - log_var).sum(-1)


def gaussian_log_likelihood(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """ln N(x; mean, diag(exp(log_var))), nats, summed over the last axis (appendix C.2).

    ValueError where x and mean differ along an axis that both have.
    """
    _agree("gaussian_log_likelihood", x, "mean", mean)
    difference = x - mean
    return -0.5 * (difference * difference * ops.exp(-log_var) + log_var + LOG_2PI).sum(-1)


def bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    """sum x ln p + (1 - x) ln(1 - p) over the last axis, nats, p = sigmoid(logits) (C.1).

    With a = logit it is x a - softplus(a). A probability of x if its entries are 0 or 1; for greys
    in between it is the expected one of pixels that are 1 with probability x. Raises ValueError as
    `gaussian_log_likelihood` does.
    """
    _agree("bernoulli_log_likelihood", x, "logits", logits)
    return (x * logits - ops.softplus(logits)).sum(-1)


def _agree(function: str, x: Tensor, name: str, other: Tensor) -> None:
    if any(a != b for a, b in zip(x.shape[::-1], other.shape[::-1])):
        raise ValueError(f"{function}: x has shape {x.shape} but {name} {other.shape}; the axes "
                         "that both have must be equal")


def importance_bound(log_weights: Tensor) -> Tensor:
    """L_K = ln (1/K) sum_k w_k of Burda et al. (2016, section 3), nats: (K, n) give (n,).

    In expectation L_1 = ELBO <= L_2 <= ... <= ln p(x), and L_K -> ln p(x).
    """
    return ops.logsumexp(log_weights, axis=0) - math.log(len(log_weights))


class BernoulliLikelihood(nn.Module):
    """Pixels that are 0 or 1; the decoder gives their logits."""

    def mean(self, output: Tensor) -> Tensor:
        return ops.sigmoid(output)

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        return bernoulli_log_likelihood(x, output)


class GaussianLikelihood(nn.Module):
    """Real numbers; the decoder gives their means. All share one variance.

    variance: where it starts. learned: whether it is a parameter; its optimum is then the mean
    squared error. A fixed variance weighs the squared error against the KL, as 1/beta would.
    """

    def __init__(self, variance: float = 1.0, learned: bool = True) -> None:
        if not variance > 0:
            raise ValueError(f"GaussianLikelihood: variance must be > 0, got {variance}")
        self.log_var = nn.init.constant((1,), math.log(variance))
        self.log_var.requires_grad = learned

    def mean(self, output: Tensor) -> Tensor:
        return output

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        return gaussian_log_likelihood(x, output, self.log_var)
