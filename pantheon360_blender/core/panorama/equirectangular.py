"""Equirectangular images: where pixels look, sampling, turning, cropping and resizing without a seam.

An image is (H, W) or (H, W, C) with W = 2 H, row 0 at the top, pixel centres at .5. Its centre looks along the camera's
-Z, its right quarter along +X, its top along +Y; u grows to the right and wraps. Beyond a pole the image goes on on the
opposite meridian: row -1 is row 0 shifted by half the width. Angles are radians, directions are in the camera's frame.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..errors import ImageError
from .cameras import check_rotation, rotation_from_angles

_BLOCK = 1 << 15  # pixels worked on at a time: their temporaries stay in the processor's cache
_LARGEST_KEPT = 4096  # width up to which a grid of directions is worth its memory (100 MB)


def height_of(width: int) -> int:
    """Height of an equirectangular image of `width` pixels. Raises ValueError if it is odd or below 2."""
    if width < 2 or width % 2:
        raise ValueError(f"An equirectangular image cannot be {width} wide: an even number of pixels is wanted.")
    return int(width) // 2


def directions(width: int) -> np.ndarray:
    """Unit directions of all pixel centres of an image of `width`; (H, W, 3) float32, read-only and shared.

    Raises ValueError if `width` is odd or below 2.
    """
    width = int(width)
    return _kept_directions(width) if width <= _LARGEST_KEPT else directions_of_rows(width, 0, height_of(width))


def pixels_to_directions(pixels: np.ndarray, width: int) -> np.ndarray:
    """Unit directions in which pixels look.

    pixels: (..., 2), u and v with pixel centres at .5; u outside the image wraps.
    Returns (..., 3), float32 for float32 pixels and float64 otherwise.

    >>> ahead = pixels_to_directions(np.array([512, 256]), width=1024)
    >>> np.allclose(ahead, (0, 0, -1))
    True
    """
    pixels = _floats(pixels)
    longitude = (pixels[..., 0] / width - 0.5) * (2 * np.pi)
    latitude = (0.5 - pixels[..., 1] / height_of(width)) * np.pi
    return _on_sphere(longitude, latitude)


def directions_to_pixels(directions: np.ndarray, width: int) -> np.ndarray:
    """Project directions onto an equirectangular image.

    directions: (..., 3), camera frame (x right, y up, -z forward); need not be unit length.
    Returns (..., 2): u in [0, width), v in [0, width / 2], pixel centres at .5; float32 for float32 directions and
    float64 otherwise. At a pole, where any u is right, u is that of the image centre or seam.
    Raises ValueError if a direction is zero or not finite.

    >>> right, nearly_up = (1, 0, 0), (0, 1, -0.001)
    >>> directions_to_pixels(np.array([right, nearly_up]), width=1024).round()
    array([[768., 256.],
           [512.,   0.]])
    """
    directions = _floats(directions)
    x, y, z = directions[..., 0], directions[..., 1], directions[..., 2]
    if not np.isfinite(directions).all() or not (np.maximum(np.maximum(abs(x), abs(y)), abs(z)) > 0).all():
        raise ValueError("A direction is zero or not finite: it meets no pixel.")
    return _project(x, y, z, width)


def sample(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Bilinear interpolation of an equirectangular image, across its seam and over its poles.

    image: (H, W) or (H, W, C), any number type or bool.
    pixels: (..., 2), u and v with pixel centres at .5; any u wraps, a v outside the image goes on over the pole.
    Returns (...,) or (..., C) float32; NaN where a pixel is not finite.
    Raises ImageError if the image is not twice as wide as high.
    """
    width = _width(image)
    pixels = _floats(pixels)
    flat = pixels.reshape(-1, 2)
    texels = _Texels(image)
    values = np.empty((len(flat), texels.channels), np.float32)
    for start in range(0, len(flat), _BLOCK):
        block = flat[start : start + _BLOCK]
        values[start : start + _BLOCK] = texels.bilinear(block[:, 0], block[:, 1], width)
    return np.asarray(values.reshape(pixels.shape[:-1] + image.shape[2:]))


def rotate(image: np.ndarray, rotation: np.ndarray, width: int | None = None) -> np.ndarray:
    """The panorama as a camera with turned axes sees it: out(d) = image(rotation @ d).

    image: (H, W) or (H, W, C).
    rotation: (3, 3), maps directions of the output camera to directions of the input camera; to see from pose B what
    was taken from pose A, it is A[:3, :3].T @ B[:3, :3].
    width: of the result, pixels; None is that of the image.
    Returns an array like `image`, integers rounded.
    Raises ImageError if the image is not twice as wide as high, PoseError if the rotation is not one.

    >>> columns = np.tile(np.arange(0, 80, 10, dtype=np.uint8), (4, 1))
    >>> columns[1]
    array([ 0, 10, 20, 30, 40, 50, 60, 70], dtype=uint8)
    >>> rotate(columns, rotation_from_angles(yaw=np.pi / 2))[1]  # what was on the right is now ahead
    array([20, 30, 40, 50, 60, 70,  0, 10], dtype=uint8)
    """
    given = _width(image)
    width = given if width is None else width
    input_from_output = check_rotation(rotation).astype(np.float32)
    texels = _Texels(image)
    out = np.empty((height_of(width), width, *image.shape[2:]), image.dtype)
    rows = max(1, _BLOCK // width)
    for first in range(0, len(out), rows):
        block = out[first : first + rows]
        looking = directions_of_rows(width, first, first + len(block)).reshape(-1, 3) @ input_from_output.T
        pixels = _project(looking[:, 0], looking[:, 1], looking[:, 2], given)
        values = texels.bilinear(pixels[:, 0], pixels[:, 1], given)
        block[...] = _as_type(values.reshape(block.shape), image.dtype)
    return out


def perspective_directions(size: tuple[int, int], fov: float) -> np.ndarray:
    """Directions of the pixel centres of a perspective camera that looks along -Z; (h, w, 3) float32, z = -1.

    size: (w, h) in pixels, square pixels. fov: horizontal field of view in radians, between 0 and pi.
    """
    wide, high = size
    if wide < 1 or high < 1:
        raise ValueError(f"A crop cannot be {wide} x {high} pixels.")
    if not 0 < fov < np.pi:
        raise ValueError(f"A perspective crop cannot have a field of view of {np.degrees(fov):g}°: 0° to 180° can.")
    step = 2 * np.tan(fov / 2) / wide
    looking = np.empty((high, wide, 3), np.float32)
    looking[..., 0] = (np.arange(wide) + 0.5 - wide / 2) * step
    looking[..., 1] = ((high / 2 - 0.5 - np.arange(high)) * step)[:, None]
    looking[..., 2] = -1
    return looking


def perspective_crops(image: np.ndarray, rotations: np.ndarray, fov: float, size: tuple[int, int]) -> np.ndarray:
    """What perspective cameras at the panorama's centre see.

    image: (H, W) or (H, W, C). Where it is finer than the crops it is resized first, so that they do not alias.
    rotations: (V, 3, 3), directions of each crop's camera (x right, y up, -z forward) to those of the panorama's.
    fov: horizontal field of view in radians. size: (w, h) in pixels.
    Returns (V, h, w) or (V, h, w, C) of the image's type.
    Raises ImageError if the image is not twice as wide as high, ValueError if no camera has that size or fov.
    """
    looking = perspective_directions(size, fov)
    matching = 2 * int(np.ceil(np.pi * size[0] / fov))
    if matching < _width(image):
        image = resize(image, matching)
    crops = np.empty((len(rotations), size[1], size[0], *image.shape[2:]), image.dtype)
    for view, panorama_from_crop in zip(crops, rotations, strict=True):
        turned = looking @ panorama_from_crop.T.astype(np.float32)
        pixels = _project(turned[..., 0], turned[..., 1], turned[..., 2], _width(image))
        view[...] = _as_type(sample(image, pixels), image.dtype)
    return crops


def horizon_crops(
    image: np.ndarray, count: int = 8, fov: float = np.pi / 2, size: tuple[int, int] = (224, 224)
) -> np.ndarray:
    """Perspective crops round the horizon; the first looks along -Z, each next one 2 pi / count further to the right.

    image: (H, W) or (H, W, C). fov: horizontal field of view in radians. size: (w, h) in pixels.
    Returns (count, h, w) or (count, h, w, C) of the image's type. Raises what perspective_crops raises.
    """
    rotations = np.stack([rotation_from_angles(2 * np.pi * index / count) for index in range(count)])
    return perspective_crops(image, rotations, fov, size)


def resize(image: np.ndarray, width: int) -> np.ndarray:
    """The panorama at another width, antialiased, without a seam and right at the poles.

    A triangle filter as wide as two output pixels (two input pixels where the image grows), so that values stay within
    the image's range; it works on the stored values, as image programs do. The same width gives the same pixels.
    image: (H, W) or (H, W, C), finite; bool becomes what covers at least half a pixel.
    Returns (width / 2, width[, C]) of the image's type; memory beyond that is a band of rows.
    Raises ImageError if the image is not twice as wide as high, ValueError if `width` is odd or below 2.

    >>> bands = np.repeat(np.uint8([[0], [40], [80], [120]]), 8, axis=1)  # 4 rows of 8
    >>> resize(bands, width=4)
    array([[25, 25, 25, 25],
           [95, 95, 95, 95]], dtype=uint8)
    """
    given, height = _width(image), height_of(width)
    if width == given:
        return image.copy()
    precision = np.dtype(np.float64 if image.dtype == np.float64 else np.float32)
    columns, rows = _Filter.cached(given, width, precision), _Filter.cached(given // 2, height, precision)
    out = np.empty((height, width, *image.shape[2:]), image.dtype)
    planes = image.reshape(given // 2, given, -1)
    for first, last, start, weights in rows.bands:
        band = rows_over_poles(planes, start, start + weights.shape[1]).astype(precision)
        thin = (weights @ band.reshape(len(band), -1)).reshape(last - first, given, -1)
        block = out[first:last]
        block[...] = _as_type(columns.along_rows(thin).reshape(block.shape), image.dtype)
    return out


def pad_to_full(
    image: np.ndarray, full_size: tuple[int, int], offset: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Place a partial panorama in the full sphere, as GPano's cropped-area tags say.

    image: (h, w) or (h, w, C). full_size: (W, H) = FullPanoWidthPixels, FullPanoHeightPixels, W = 2 H.
    offset: (left, top) = CroppedAreaLeftPixels, CroppedAreaTopPixels; a part that crosses the seam wraps.
    Returns the full image (H, W[, C]), 0 where nothing was taken, and where something was: (H, W) bool.
    Raises ImageError if the part does not fit into the full size.
    """
    rows, columns = _placement(full_size, (image.shape[1], image.shape[0]), offset)
    full = np.zeros((full_size[1], full_size[0], *image.shape[2:]), image.dtype)
    valid = np.zeros(full.shape[:2], np.bool_)
    full[rows, columns] = image
    valid[rows, columns] = True
    return full, valid


class _Texels:
    """The pixels of an image in a row, ready to be gathered."""

    def __init__(self, image: np.ndarray) -> None:
        self._flat = np.ascontiguousarray(image).reshape(image.shape[0] * image.shape[1], -1)
        self.channels = self._flat.shape[1]

    def bilinear(self, u: np.ndarray, v: np.ndarray, width: int) -> np.ndarray:
        """Values (N, C) float32 at pixel coordinates u and v, (N,) each."""
        x, y = u - 0.5, v - 0.5
        left, top = np.floor(x), np.floor(y)
        with np.errstate(invalid="ignore"):  # a pixel that is not finite reads any texel; its weight makes it NaN
            right_share = (x - left).astype(np.float32)[:, None]
            low_share = (y - top).astype(np.float32)[:, None]
            upper = self._between_columns(left, top, width, right_share)
            lower = self._between_columns(left, top + 1, width, right_share)
        lower -= upper
        lower *= low_share
        lower += upper
        return lower

    def _between_columns(self, left: np.ndarray, row: np.ndarray, width: int, share: np.ndarray) -> np.ndarray:
        height = width // 2
        row = row - 2 * height * np.floor(row / (2 * height))
        beyond = row >= height
        row = np.where(beyond, 2 * height - 1 - row, row)
        left = left + np.where(beyond, height, 0).astype(left.dtype)
        left = left - width * np.floor(left / width)
        column = np.clip(left.astype(np.intp), 0, width - 1)
        start = np.clip(row.astype(np.intp), 0, height - 1) * width
        following = column + 1
        following[following == width] = 0
        values = self._flat.take(start + column, axis=0).astype(np.float32)
        after = self._flat.take(start + following, axis=0).astype(np.float32)
        after -= values
        after *= share
        values += after
        return values


class _Filter:
    """A triangle filter from `given` to `wanted` samples, as one small dense matrix for each band of outputs.

    bands: (first output, last output, first input, weights (outputs, inputs)). Inputs before 0 and from `given` on are
    what lies beyond the seam or the pole.
    """

    def __init__(self, given: int, wanted: int, precision: np.dtype) -> None:
        scale = given / wanted
        radius = max(scale, 1.0)
        centre = (np.arange(wanted) + 0.5) * scale
        self._given, self._wanted = given, wanted
        self.bands = []
        together = min(16, max(2, int(96 / scale)))  # more outputs multiply more zeros, fewer make more calls
        for first in range(0, wanted, together):
            band = centre[first : first + together, None]
            start, stop = int(np.floor(band[0, 0] - radius)), int(np.ceil(band[-1, 0] + radius))
            weights = np.maximum(0.0, 1.0 - np.abs(np.arange(start, stop) + 0.5 - band) / radius)
            weights /= weights.sum(axis=1, keepdims=True)
            self.bands.append((first, first + len(band), start, weights.astype(precision)))

    @staticmethod
    @lru_cache(maxsize=16)
    def cached(given: int, wanted: int, precision: np.dtype) -> _Filter:
        return _Filter(given, wanted, precision)

    def along_rows(self, rows: np.ndarray) -> np.ndarray:
        """Filter (R, given, C) along its second axis, wrapping; (R, wanted, C)."""
        count, _, channels = rows.shape
        before = self.bands[0][2]
        after = self.bands[-1][2] + self.bands[-1][3].shape[1]
        planes = rows.transpose(0, 2, 1).take(np.arange(before, after) % self._given, axis=2)
        planes = planes.reshape(count * channels, -1)
        out = np.empty((count * channels, self._wanted), rows.dtype)
        for first, last, start, weights in self.bands:
            np.matmul(planes[:, start - before :][:, : weights.shape[1]], weights.T, out=out[:, first:last])
        return np.asarray(out.reshape(count, channels, -1).transpose(0, 2, 1))


def rows_over_poles(image: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Rows `start` to `stop` of (H, W) or (H, W, C), going on over the poles on the opposite meridian."""
    height = len(image)
    if start >= 0 and stop <= height:
        return image[start:stop]
    row = np.arange(start, stop) % (2 * height)
    beyond = row >= height
    rows = image[np.where(beyond, 2 * height - 1 - row, row)]
    rows[beyond] = np.roll(rows[beyond], image.shape[1] // 2, axis=1)
    return np.asarray(rows)


@lru_cache(maxsize=4)
def _kept_directions(width: int) -> np.ndarray:
    grid = directions_of_rows(width, 0, height_of(width))
    grid.flags.writeable = False
    return grid


def directions_of_rows(width: int, first: int, last: int) -> np.ndarray:
    """Unit directions of the pixel centres of rows `first` to `last` of an image of `width`; (rows, W, 3) float32."""
    longitude = ((np.arange(width) + 0.5) / width - 0.5) * (2 * np.pi)
    latitude = (0.5 - (np.arange(first, last) + 0.5) / height_of(width)) * np.pi
    level = np.cos(latitude)
    grid = np.empty((last - first, width, 3), np.float32)
    grid[..., 0] = level[:, None] * np.sin(longitude)
    grid[..., 1] = np.sin(latitude)[:, None]
    grid[..., 2] = -level[:, None] * np.cos(longitude)
    return grid


def _on_sphere(longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    level = np.cos(latitude)
    return np.stack([level * np.sin(longitude), np.sin(latitude), -level * np.cos(longitude)], axis=-1)


def _project(x: np.ndarray, y: np.ndarray, z: np.ndarray, width: int) -> np.ndarray:
    """Pixels (..., 2) of directions that are neither zero nor infinite."""
    height = height_of(width)
    pixels = np.empty((*x.shape, 2), x.dtype)
    u, v = pixels[..., 0], pixels[..., 1]
    np.multiply(np.arctan2(x, -z), width / (2 * np.pi), out=u)
    u += width / 2
    u[(u >= width) | (u < 0)] = 0.0  # rounded beyond the seam
    # The arc tangent is exact near the poles, where an arc sine of float32 is off by a third of a pixel.
    np.multiply(np.arctan2(y, np.hypot(x, z)), -height / np.pi, out=v)
    v += height / 2
    np.clip(v, 0, height, out=v)
    return pixels


def _placement(
    full_size: tuple[int, int], size: tuple[int, int], offset: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Index arrays of the rows (h, 1) and columns (w,) which a part takes in the full panorama."""
    (full_wide, full_high), (wide, high), (left, top) = full_size, size, offset
    _check_shape(full_wide, full_high)
    if not 1 <= wide <= full_wide or not 1 <= high <= full_high or not 0 <= top <= full_high - high:
        raise ImageError(
            f"A part of {wide} x {high} pixels at ({left}, {top}) does not fit into a panorama of "
            f"{full_wide} x {full_high}.",
            advice="Correct its GPano crop metadata.",
        )
    return np.arange(top, top + high)[:, None], np.arange(left, left + wide) % full_wide


def _width(image: np.ndarray) -> int:
    if image.ndim not in (2, 3):
        raise ImageError(f"An image is an array of shape {image.shape}; (H, W) or (H, W, channels) is wanted.")
    _check_shape(image.shape[1], image.shape[0])
    return int(image.shape[1])


def _check_shape(width: int, height: int) -> None:
    if width != 2 * height or height < 1:
        raise ImageError(
            f"The image is {width} x {height}: a full panorama is twice as wide as high.",
            advice="Crop or pad it, or give it GPano crop metadata.",
        )


def _floats(values: np.ndarray) -> np.ndarray:
    array = np.asarray(values)
    return array if array.dtype == np.float32 else array.astype(np.float64)


def _as_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Floats as `dtype`: integers rounded and kept in range, bool where at least one half."""
    if dtype == np.bool_:
        return np.asarray(values >= 0.5)
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return np.asarray(np.clip(np.rint(values), limits.min, limits.max).astype(dtype))
    return values.astype(dtype)
