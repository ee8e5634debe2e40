"""Compares the metrics with scikit-learn, and AUPRO with a slow and plain reference of its own, to 1e-9.

    metrics_parity.py METRICS_TOOL
"""

import pathlib
import subprocess
import sys
import unittest

import numpy as np

try:
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
except ImportError:
    print("metrics_parity: scikit-learn is missing: run docker/install_deps.sh")
    sys.exit(77)

if not pathlib.Path(sys.argv[1]).exists():
    sys.exit(f"metrics_parity: {sys.argv[1]} is not built")
TOOL = subprocess.Popen([sys.argv.pop(1)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
TOLERANCE = 1e-9


def ask(request: str, data: bytes) -> list[float] | None:
    """The figures, or None where they are absent."""
    TOOL.stdin.write(request.encode() + b"\n" + data)
    TOOL.stdin.flush()
    answer = TOOL.stdout.readline().decode().strip()
    if answer == "absent":
        return None
    if not answer or answer.startswith("error"):
        raise ValueError(answer)
    return [float(figure) for figure in answer.split()]


def rank(good: np.ndarray, anomalous: np.ndarray) -> list[float] | None:
    good, anomalous = np.asarray(good, np.float32), np.asarray(anomalous, np.float32)
    return ask(f"rank {good.size} {anomalous.size}", good.tobytes() + anomalous.tobytes())


def pixels(maps: np.ndarray, masks: list[np.ndarray | None]) -> list[float] | None:
    maps = np.asarray(maps, np.float32)
    data = b"".join(bytes([mask is not None]) + map_.tobytes() + (b"" if mask is None else mask.astype(np.uint8).tobytes())
                    for map_, mask in zip(maps, masks))
    return ask(f"pixels {len(maps)} {maps.shape[2]} {maps.shape[1]}", data)


def sklearn_ranking(labels: np.ndarray, scores: np.ndarray) -> list[float]:
    scores = scores.astype(np.float64)
    precision, recall, _ = precision_recall_curve(labels, scores)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    return [roc_auc_score(labels, scores), average_precision_score(labels, scores), f1.max()]


def regions(mask: np.ndarray) -> list[np.ndarray]:
    """The 8-connected regions of a mask, each as a boolean picture, by flood fill."""
    left = mask > 0
    found = []
    while left.any():
        region = np.zeros_like(left)
        todo = [tuple(np.argwhere(left)[0])]
        left[todo[0]] = False
        while todo:
            y, x = todo.pop()
            region[y, x] = True
            for v in range(max(y - 1, 0), min(y + 2, left.shape[0])):
                for u in range(max(x - 1, 0), min(x + 2, left.shape[1])):
                    if left[v, u]:
                        left[v, u] = False
                        todo.append((v, u))
        found.append(region)
    return found


def reference_aupro(maps: np.ndarray, masks: list[np.ndarray | None], limit: float = 0.3) -> float:
    """By the definition: every score as a threshold, every region looked at by itself."""
    maps = np.asarray(maps, np.float32)
    defective = [np.zeros(maps.shape[1:], bool) if mask is None else mask > 0 for mask in masks]
    good = np.concatenate([map_[~mask] for map_, mask in zip(maps, defective)])
    found = [map_[region] for map_, mask in zip(maps, defective) for region in regions(mask)]
    rates, overlaps = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        rates.append(np.mean(good >= threshold))
        overlaps.append(np.mean([np.mean(region >= threshold) for region in found]))
    rates, overlaps = np.array(rates), np.array(overlaps)
    inside = rates < limit
    # Where the curve rises straight up at the limit, what counts is where it came from.
    after = int(np.argmin(inside))
    share = (limit - rates[after - 1]) / (rates[after] - rates[after - 1])
    x = np.append(rates[:after], limit)
    y = np.append(overlaps[:after], overlaps[after - 1] + share * (overlaps[after] - overlaps[after - 1]))
    return float(np.trapezoid(y, x) / limit)


def random_masks(rng: np.random.Generator, count: int, size: tuple[int, int]) -> list[np.ndarray | None]:
    """Good pictures, pictures with an empty mask, blobs, touching corners and scattered dots."""
    masks = []
    for i in range(count):
        mask = np.zeros(size, np.uint8)
        if i % 4 == 1:
            masks.append(None)
            continue
        if i % 4 == 2:
            mask[rng.random(size) < 0.1] = 1
        elif i % 4 == 3:
            for _ in range(3):
                y, x = rng.integers(0, size[0]), rng.integers(0, size[1])
                mask[y : y + 4, x : x + 3] = 255
            mask[0, 0] = mask[min(1, size[0] - 1), min(1, size[1] - 1)] = 7
        masks.append(mask)
    return masks


class Ranking(unittest.TestCase):
    def check(self, good: np.ndarray, anomalous: np.ndarray) -> None:
        good, anomalous = np.asarray(good, np.float32), np.asarray(anomalous, np.float32)
        labels = np.concatenate([np.zeros(good.size), np.ones(anomalous.size)])
        theirs = sklearn_ranking(labels, np.concatenate([good, anomalous]))
        np.testing.assert_allclose(rank(good, anomalous), theirs, rtol=0, atol=TOLERANCE)

    def test_random(self) -> None:
        rng = np.random.default_rng(1)
        for good, anomalous, gap in [(1, 1, 0), (2, 1, 1), (1, 50, 0.5), (300, 7, 2), (1000, 1000, 0.1), (99, 100, 30)]:
            with self.subTest(f"{good} {anomalous} {gap}"):
                self.check(rng.normal(size=good), rng.normal(size=anomalous) + gap)
                self.check(rng.normal(size=good), rng.normal(size=anomalous) - gap)

    def test_ties(self) -> None:
        rng = np.random.default_rng(2)
        for values in [1, 2, 3, 10]:
            for _ in range(20):
                good, anomalous = rng.integers(1, 40, 2)
                self.check(rng.integers(0, values, good), rng.integers(0, values, anomalous))

    def test_every_tiny_case(self) -> None:
        """All rankings of up to four pictures with scores 0, 1 and 2."""
        for count in range(2, 5):
            for case in range(6**count):
                digits = [case // 6**i % 6 for i in range(count)]
                good = [d // 2 for d in digits if d % 2 == 0]
                anomalous = [d // 2 for d in digits if d % 2 == 1]
                # The order within a kind is no matter.
                if good and anomalous and good == sorted(good) and anomalous == sorted(anomalous):
                    self.check(good, anomalous)

    def test_close_scores(self) -> None:
        """Neighbouring floats, denormal ones, and both zeros, which are equal."""
        one = np.float32(1)
        self.check([one, np.nextafter(one, np.float32(0))], [np.nextafter(one, np.float32(2)), one])
        self.check([1e-45, 0.0, -0.0], [3e-45, -0.0, 1e-45])
        self.check([-3e38, 3e38], [3e38, 2.9e38])

    def test_one_kind_is_absent(self) -> None:
        for good, anomalous in [([], []), ([1], []), ([], [1, 2])]:
            self.assertIsNone(rank(good, anomalous))

    def test_not_finite(self) -> None:
        for bad in [np.nan, np.inf, -np.inf]:
            for good, anomalous in [([1, bad], [2]), ([1], [2, bad]), ([bad], [])]:
                with self.assertRaisesRegex(ValueError, "score . is .*(nan|inf).*finite"):
                    rank(good, anomalous)


class Pixels(unittest.TestCase):
    def check(self, maps: np.ndarray, masks: list[np.ndarray | None]) -> None:
        maps = np.asarray(maps, np.float32)
        labels = np.concatenate([(np.zeros(maps[0].size) if mask is None else (mask > 0).ravel()) for mask in masks])
        theirs = sklearn_ranking(labels, maps.ravel()) + [reference_aupro(maps, masks)]
        np.testing.assert_allclose(pixels(maps, masks), theirs, rtol=0, atol=TOLERANCE)

    def test_random(self) -> None:
        rng = np.random.default_rng(3)
        for size in [(2, 2), (5, 9), (16, 11)]:
            masks = random_masks(rng, 8, size)
            signal = np.stack([np.zeros(size) if mask is None else mask > 0 for mask in masks])
            for strength in [0, 0.5, 3, 100, -1]:
                with self.subTest(f"{size} {strength}"):
                    self.check(rng.normal(size=signal.shape) + strength * signal, masks)

    def test_ties(self) -> None:
        rng = np.random.default_rng(4)
        for values in [1, 2, 4, 20]:
            masks = random_masks(rng, 8, (11, 13))
            with self.subTest(f"{values} values"):
                self.check(rng.integers(0, values, (8, 11, 13)), masks)

    def test_the_limit_between_and_on_thresholds(self) -> None:
        """Ten good pixels: the third reaches the limit exactly; nine: none does."""
        rng = np.random.default_rng(5)
        for width in range(3, 14):
            for _ in range(10):
                mask = np.zeros((1, width), np.uint8)
                mask[0, [0, 2]] = 1
                self.check(rng.permutation(width).reshape(1, 1, width), [mask])
                self.check(rng.integers(0, 3, (1, 1, width)), [mask])

    def test_one_pixel_regions_weigh_as_much_as_large_ones(self) -> None:
        mask = np.zeros((20, 20), np.uint8)
        mask[2:12, 2:12] = 1
        mask[17, 17] = 1
        map_ = np.zeros((20, 20))
        map_[17, 17] = 2
        map_[0, :] = 1
        self.check(map_[None], [mask])

    def test_constant(self) -> None:
        mask = np.zeros((6, 6), np.uint8)
        mask[1:3, 1:5] = 255
        for value in [0.0, 0.7]:
            self.check(np.full((2, 6, 6), value), [None, mask])

    def test_all_defective_and_all_good_are_absent(self) -> None:
        for mask in [None, np.zeros((3, 3), np.uint8), np.ones((3, 3), np.uint8)]:
            self.assertIsNone(pixels(np.zeros((1, 3, 3)), [mask]))


if __name__ == "__main__":
    with TOOL:
        unittest.main()
