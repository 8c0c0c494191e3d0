"""`textures`: replace model and images by your own; the images are 8-bit pixels in memory."""

import torch
from actbench.workloads.base import ImageSet, Workload
from torch import nn

_HALF = (0.5, 0.5, 0.5)


class Textures(Workload):
    """Stripes or squares; a network of two convolutions, trained for a moment when it is loaded."""

    input_shape = (3, 32, 32)

    def model(self):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, padding=1, stride=2), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2),
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for images, targets in self.training_set().batches(64):
            optimizer.zero_grad()
            self.loss(model(images), targets).backward()
            optimizer.step()
        return model.eval()

    def calibration_set(self):
        return textures(seed=1, count=64)

    def training_set(self):
        return textures(seed=2, count=1024)

    def evaluation_set(self):
        return textures(seed=3, count=200).spread(self.settings.limit)


def textures(seed, count):
    """Stripes (0) and squares (1) of 4 pixels, with noise, one after the other."""
    generator = torch.Generator().manual_seed(seed)
    row, column = torch.meshgrid(torch.arange(32) // 4 % 2, torch.arange(32) // 4 % 2, indexing="ij")
    patterns = torch.stack([row.float(), (row ^ column).float()])
    targets = torch.arange(count) % 2
    noise = 0.5 * torch.rand(count, 3, 32, 32, generator=generator)
    pixels = (255 * (0.5 * patterns[targets][:, None] + noise)).byte()
    return ImageSet(pixels, targets, _HALF, _HALF)
