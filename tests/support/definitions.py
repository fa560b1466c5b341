"""torch's optimizers once more, in NumPy, from their definitions: one step of each."""

import numpy as np
import torch


def ema(state, key, value, beta):
    state[key] = beta * state.get(key, 0.0) + (1 - beta) * value
    return state[key]


def sgd(s, p, g, t, lr, momentum=0.0, nesterov=False, dampening=0.0, weight_decay=0.0):
    g = g + weight_decay * p
    if not momentum:
        return lr * g, None, None
    s["b"] = g if t == 1 else momentum * s["b"] + (1 - dampening) * g
    return lr * (g + momentum * s["b"] if nesterov else s["b"]), s["b"], None


def adagrad(s, p, g, t, lr, lr_decay=0.0, eps=1e-10):
    s["sum"] = s.get("sum", 0.0) + g**2
    return lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["sum"]) + eps), None, s["sum"]


def rmsprop(s, p, g, t, lr, alpha=0.99, eps=1e-8, momentum=0.0, centered=False):
    v = ema(s, "v", g**2, alpha)
    if centered:
        v = v - ema(s, "mean", g, alpha) ** 2
    step = g / (np.sqrt(v) + eps)
    if not momentum:
        return lr * step, None, v
    s["b"] = momentum * s.get("b", 0.0) + step
    return lr * s["b"], s["b"], v


def adadelta(s, p, g, t, lr, rho=0.9, eps=1e-6):
    v = ema(s, "v", g**2, rho)
    step = np.sqrt(s.get("u", 0.0) + eps) / np.sqrt(v + eps) * g
    ema(s, "u", step**2, rho)
    return lr * step, None, v


def adam(s, p, g, t, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False):
    g = g + weight_decay * p
    m = ema(s, "m", g, betas[0]) / (1 - betas[0] ** t)
    v = ema(s, "v", g**2, betas[1])
    if amsgrad:
        v = s["largest"] = np.maximum(s.get("largest", 0.0), v)
    v = v / (1 - betas[1] ** t)
    return lr * m / (np.sqrt(v) + eps), m, v


def adamw(s, p, g, t, lr, weight_decay):
    return adam(s, p, g, t, lr)


def nadam(s, p, g, t, lr, betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3):
    m, v = ema(s, "m", g, betas[0]), ema(s, "v", g**2, betas[1]) / (1 - betas[1] ** t)
    now, then = (betas[0] * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
    s["product"] = s.get("product", 1.0) * now
    mean = (1 - now) * g / (1 - s["product"]) + then * m / (1 - s["product"] * then)
    return lr * mean / (np.sqrt(v) + eps), m, v


def radam(s, p, g, t, lr, betas=(0.9, 0.999), eps=1e-8):
    m = ema(s, "m", g, betas[0]) / (1 - betas[0] ** t)
    v = ema(s, "v", g**2, betas[1])
    longest = 2 / (1 - betas[1]) - 1
    length = longest - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
    correction = 1 - betas[1] ** t
    if length <= 5:
        return lr * m, m, v / correction
    r = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return lr * m * np.sqrt(r) * np.sqrt(correction) / (np.sqrt(v) + eps), m, v / correction


def adamax(s, p, g, t, lr, betas=(0.9, 0.999), eps=1e-8):
    m = ema(s, "m", g, betas[0]) / (1 - betas[0] ** t)
    s["u"] = np.maximum(betas[1] * s.get("u", 0.0), np.abs(g) + eps)
    return lr * m / s["u"], m, s["u"] ** 2


def rprop(s, p, g, t, lr, etas=(0.5, 1.2), step_sizes=(1e-6, 50)):
    sign = np.sign(g * s.get("prev", 0.0))
    size = s.get("size", np.full_like(g, lr))
    factor = np.where(sign > 0, etas[1], np.where(sign < 0, etas[0], 1.0))
    s["size"] = np.clip(size * factor, *step_sizes)
    s["prev"] = np.where(sign < 0, 0.0, g)
    return s["size"] * np.sign(s["prev"]), None, None


def asgd(s, p, g, t, lr, lambd=1e-4, alpha=0.75):
    eta = lr / (1 + lambd * lr * (t - 1)) ** alpha
    return eta * g, None, None


def adafactor(s, p, g, t, lr, beta2_decay=-0.8, eps2=1e-3, d=1.0, weight_decay=0.0):
    """Of a matrix: Shazeer & Stern 2018, algorithm 4."""
    rate = max(eps2, np.sqrt((p**2).mean())) * min(lr, 1 / np.sqrt(t))
    keep = 1 - t**beta2_decay
    rows = ema(s, "rows", (g**2).mean(1, keepdims=True), keep)
    columns = ema(s, "columns", (g**2).mean(0, keepdims=True), keep)
    v = rows @ columns / rows.mean()
    step = g / np.sqrt(v)
    return rate * step / max(1.0, np.sqrt((step**2).mean()) / d), None, v


def muon(s, p, g, t, lr, momentum=0.95, weight_decay=0.1, nesterov=True):
    """Of a matrix; Jordan et al. 2024, five steps of Newton and Schulz, in bfloat16 as in torch."""
    b = ema(s, "b", g, momentum)
    x = torch.tensor(momentum * b + (1 - momentum) * g if nesterov else b).bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / x.norm()
    for _ in range(5):
        square = x @ x.T
        square = torch.addmm(square, square, square, beta=-4.775, alpha=2.0315)
        x = torch.addmm(x, square, x, beta=3.4445)
    x = (x.T if tall else x).double().numpy()
    return lr * np.sqrt(max(1, p.shape[0] / p.shape[1])) * x, b, None
