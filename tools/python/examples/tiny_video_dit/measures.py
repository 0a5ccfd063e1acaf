"""What a sample is worth: against the full-precision sample of its seed, and among real videos."""

from __future__ import annotations

import data
import flow
import numpy as np
import torch
from features import FeatureNet
from model import VideoDiT
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def psnr(video: np.ndarray, reference: np.ndarray) -> float:
    """dB over the whole video, both [3, T, H, W] cut to [-1, 1]."""
    return float(peak_signal_noise_ratio(_cut(reference), _cut(video), data_range=2))


def ssim(video: np.ndarray, reference: np.ndarray) -> float:
    """Mean over the frames; windows of 7 x 7, as scikit-image has them."""
    pairs = zip(_cut(video).swapaxes(0, 1), _cut(reference).swapaxes(0, 1))
    return float(
        np.mean([structural_similarity(a, b, channel_axis=0, data_range=2) for a, b in pairs])
    )


def drift(video: np.ndarray, reference: np.ndarray) -> float:
    """|video - reference| / |reference|, latents as they are."""
    return float(np.linalg.norm(video - reference) / np.linalg.norm(reference))


@torch.no_grad()
def features(net: FeatureNet, videos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features [N, 16], and the class the net sees [N]."""
    seen = torch.from_numpy(_cut(videos))
    return net.features(seen).double().numpy(), net(seen).argmax(1).numpy()


def principal(mean: np.ndarray, covariance: np.ndarray, count: int) -> np.ndarray:
    """The directions [16, count] in which features of these moments vary most, each divided by its
    standard deviation: (features - mean) @ it has mean 0 and covariance 1."""
    variances, directions = np.linalg.eigh(covariance)
    return (directions / np.sqrt(variances))[:, ::-1][:, :count]


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of features [N, 16]."""
    return features.mean(0), np.cov(features, rowvar=False)


def frechet(features: np.ndarray, reference: tuple[np.ndarray, np.ndarray]) -> float:
    """|mean difference|^2 + tr(A + B - 2 (A B)^(1/2)), A and B covariances. Of few samples it is
    too large by what few samples of the same distribution would show, in every row alike."""
    (mean_a, cov_a), (mean_b, cov_b) = moments(features), reference
    roots = np.sqrt(np.clip(np.linalg.eigvals(cov_a @ cov_b).real, 0, None))
    apart = mean_a - mean_b
    return float(apart @ apart + np.trace(cov_a) + np.trace(cov_b) - 2 * roots.sum())


@torch.no_grad()
def held_out_loss(model: VideoDiT, count: int) -> list[float]:
    """The flow's squared error on each of `count` held-out videos with their classes, at a sigma
    and noise that are the video's own: sigma runs evenly from low to high over the videos."""
    lost = []
    for index in range(count):
        videos, labels = data.batch("reference", range(index, index + 1))
        video, noise = torch.from_numpy(videos), flow.start([index], videos.shape[1:])
        sigma = torch.tensor([(index + 0.5) / count])
        seen = (1 - sigma) * video + sigma * noise
        velocity = model(seen, sigma, torch.from_numpy(labels))
        lost.append(torch.nn.functional.mse_loss(velocity, noise - video).item())
    return lost


def _cut(video: np.ndarray) -> np.ndarray:
    return np.clip(video, -1, 1)
