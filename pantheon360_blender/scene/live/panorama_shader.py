"""Points seen from a pose as a panorama, drawn by the graphics card: the footprint splats of core/render/splatting.py.

A compute shader does for each point what the processor's pass does. Two pictures of squared ranges are kept by atomic
minima, one of the pixels that points fall into and one of their discs, and a second run over the same points writes the
colours of those that are the nearest. Points come in portions: ranges and colours stay between them, so that a picture
is refined over several redraws. Seam and poles need nothing of their own, since a disc is a loop over its pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import gpu
import numpy as np
from mathutils import Matrix

from ...core.panorama.cameras import check_pose
from ..app import versions
from .card_points import CardPoints, PackedPoints, enter, splatting, upload

NOTHING = 0x7F800000
"""Bits of an infinite squared range: where no point fell."""

UNKNOWN = (0.045, 0.045, 0.05)
UNSEEN, GUESSED, COVERED = (0.92, 0.22, 0.2), (0.98, 0.62, 0.15), (0.28, 0.56, 0.86)
"""sRGB: where nothing is known, and the marks of what no point covers, of what is guessed, and of what is sure."""


_SPLAT = """
#define TAU 6.283185307179586

// atan(t) / t on [0, 1] by the polynomial of the processor's pass: cards differ in how exact their own atan is.
float arctangent(float opposite, float adjacent)
{
  float o = abs(opposite), a = abs(adjacent) + 1e-30;
  float t = (o - a) / (o + a), s = t * t;
  float p = 0.00681179098;
  p = p * s - 0.0336042138;
  p = p * s + 0.079623665;
  p = p * s - 0.132333417;
  p = p * s + 0.198078155;
  p = p * s - 0.33317368;
  p = p * s + 0.999996112;
  return TAU / 8.0 + t * p;
}

// First and last pixel whose centers are within `half_width` of `center`, its own pixel included.
ivec2 span(float center, float half_width)
{
  float own = floor(center);
  float first = min(ceil(center - half_width - 0.5), own);
  float last = max(floor(center + half_width - 0.5), own);
  return ivec2(int(first), int(last));
}

// Half the columns of a row of a disc: cut on the sphere near a pole, on the plane that touches it elsewhere.
float half_chord(vec2 center, float radius, int row, float scale)
{
  bool own = floor(center.y) == float(row);
  float rise = own ? 0.0 : float(row) + 0.5 - center.y;
  float high = float(width / 2);
  if (min(center.y, high - center.y) < 4.0 * radius + 2.0) {
    float from_pole = center.y / scale;
    float row_from_pole = own ? from_pole : (float(row) + 0.5) / scale;
    float room = max(sin(from_pole) * sin(row_from_pole), 1e-12);
    float cosine = (cos(radius / scale) - cos(from_pole) * cos(row_from_pole)) / room;
    return acos(clamp(cosine, -1.0, 1.0)) * scale;
  }
  return sqrt(max(radius * radius - rise * rise, 0.0)) / sin((float(row) + 0.5) / scale);
}

// Both runs come here, so that the range of a point is computed by the same instructions in both.
void enter_pixel(ivec2 pixel, uint range, uint shade)
{
  uint nearest = imageLoad(pixel_ranges, pixel).x;
  if (stage == 0 && range < nearest) {
    imageAtomicMin(pixel_ranges, pixel, range);
  }
  else if (stage == 1 && range == nearest) {
    imageStore(pixel_colors, pixel, uvec4(shade));
  }
}

void enter_disc(ivec2 pixel, uint range, uint shade)
{
  uint nearest = imageLoad(disc_ranges, pixel).x;
  if (stage == 0 && range < nearest) {
    imageAtomicMin(disc_ranges, pixel, range);
  }
  else if (stage == 1 && range == nearest) {
    imageStore(disc_colors, pixel, uvec4(shade));
  }
}

void main()
{
  TAKE_POINT
  vec2 size = texelFetch(sizes, texel, 0).xy;
  vec3 seen = (camera_from_points * vec4(place.xyz, 1.0)).xyz;
  float flat_squared = seen.x * seen.x + seen.z * seen.z;
  float squared = flat_squared + seen.y * seen.y;
  if (!(squared >= near_squared && squared < 1e37)) {
    return;
  }
  float scale = float(width) / TAU;
  float in_plane = sqrt(flat_squared), range = sqrt(squared);
  float east = arctangent(seen.x, in_plane == 0.0 ? 1.0 : seen.z);
  east = seen.z > 0.0 ? TAU / 2.0 - east : east;
  float up = arctangent(seen.y, in_plane);
  vec2 at = vec2(float(width / 2) + sign(seen.x) * east * scale, float(width / 4) - sign(seen.y) * up * scale);
  if (seen.x == 0.0) {
    at.x = seen.z > 0.0 ? 0.0 : float(width / 2);
  }
  ivec2 own = ivec2(at);
  own.x = own.x >= width ? 0 : own.x;
  own.y = clamp(own.y, 0, width / 2 - 1);
  uint bits = floatBitsToUint(squared);
  uint shade = uint(place.w) | (uint(size.y * 255.0 + 0.5) << 24);
  enter_pixel(own, bits, shade);

  float radius = asin(min(size.x * growth / range, widest)) * scale;
  if (radius * range <= 0.5 * in_plane) {
    return;
  }
  ivec2 rows = span(at.y, radius);
  rows = ivec2(max(rows.x, 0), min(rows.y, width / 2 - 1));
  for (int row = rows.x; row <= rows.y; row++) {
    ivec2 columns = span(at.x, half_chord(at, radius, row, scale));
    columns = columns.y - columns.x + 1 >= width ? ivec2(0, width - 1) : columns;
    for (int column = columns.x; column <= columns.y; column++) {
      int wrapped = column < 0 ? column + width : (column >= width ? column - width : column);
      enter_disc(ivec2(wrapped, row), bits, shade);
    }
  }
}
"""

_gpu: Any = gpu  # its classes' constructors are unknown to type checkers
_IMAGES = ("pixel_ranges", "pixel_colors", "disc_ranges", "disc_colors")
_RESOLVE = """
// Ranges of neighbors on one surface differ less, but for grazing views: as in the processor's pass.
#define SAME_SURFACE_SQUARED (1.05 * 1.05)

// The color of a pixel (sRGB bytes, confidence above them) and whether a point is there.
bool shown(usampler2D own_ranges, usampler2D own_colors, usampler2D ranges, usampler2D colors, ivec2 at, out uint shade)
{
  float own = uintBitsToFloat(texelFetch(own_ranges, at, 0).x);
  float disc = uintBitsToFloat(texelFetch(ranges, at, 0).x);
  bool from_own = !isinf(own) && own <= disc * SAME_SURFACE_SQUARED;
  shade = from_own ? texelFetch(own_colors, at, 0).x : texelFetch(colors, at, 0).x;
  return from_own || !isinf(disc);
}

void main()
{
  ivec2 size = textureSize(fine_pixel_ranges, 0);
  ivec2 at = min(ivec2(uv.x * float(size.x), (1.0 - uv.y) * float(size.y)), size - 1);
  uint shade = 0u;
  bool there = shown(fine_pixel_ranges, fine_pixel_colors, fine_disc_ranges, fine_disc_colors, at, shade);
  if (!there && coarse > 0) {
    there = shown(coarse_pixel_ranges, coarse_pixel_colors, coarse_disc_ranges, coarse_disc_colors, at, shade);
  }
  vec4 behind = texture(sky, uv);
  vec3 color = behind.a > 0.0 ? behind.rgb / behind.a : UNKNOWN;
  float sure = 0.0;
  if (there) {
    color = vec3(uvec3(shade, shade >> 8, shade >> 16) & 255u) / 255.0;
    sure = float(shade >> 24) / 255.0;
  }
  if (marks > 0) {
    vec3 tint = there ? mix(GUESSED, COVERED, sure) : UNSEEN;
    float stripes = there ? 1.0 : step(0.5, fract((float(at.x) + float(at.y)) / 12.0));
    color = mix(color, tint, (there ? 0.45 : 0.6) * stripes);
  }
  result = vec4(color, there ? 1.0 : 0.0);
}
"""

_SKY = """
#define TAU 6.283185307179586

void main()
{
  float east = (uv.x - 0.5) * TAU, up = (uv.y - 0.5) * TAU / 2.0;
  vec3 look = vec3(sin(east) * cos(up), sin(up), -cos(east) * cos(up));
  vec3 seen = mat3(capture_from_camera) * look;
  vec2 at = vec2(0.5 + atan(seen.x, -seen.z) / TAU, 0.5 + asin(clamp(seen.y, -1.0, 1.0)) / (TAU / 2.0));
  vec4 found = textureLod(photograph, at, 0.0);
  result = vec4(found.rgb, 1.0) * found.a * weight;
}
"""

_SHOW = """
void main()
{
  // The viewport's framebuffer takes linear light and encodes it itself.
  vec3 encoded = texture(picture, uv).rgb;
  vec3 low = encoded / 12.92, high = pow((encoded + 0.055) / 1.055, vec3(2.4));
  result = vec4(mix(high, low, vec3(lessThanEqual(encoded, vec3(0.04045)))), opacity);
}
"""

_PLACED = """
void main()
{
  uv = place;
  gl_Position = projection * vec4(rectangle.xy + place * rectangle.zw, 0.0, 1.0);
}
"""

_QUAD = """
void main()
{
  uv = place;
  gl_Position = vec4(place * 2.0 - 1.0, 0.0, 1.0);
}
"""


class Layer:
    """The panorama of some points, on the graphics card: it is added to, portion by portion."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.images = {name: _gpu.types.GPUTexture((width, width // 2), format="R32UI") for name in _IMAGES}
        self.clear()

    def clear(self) -> None:
        """Show nothing."""
        for name, image in self.images.items():
            image.clear(format="UINT", value=(NOTHING if name.endswith("ranges") else 0,))

    def splat(
        self,
        points: CardPoints,
        portion: range,
        pose: np.ndarray,
        world_from_points: np.ndarray,
        near: float,
        growth: float = 1.0,
    ) -> None:
        """Add some of the points.

        portion: their places among the points. pose: (4, 4) camera-to-world. world_from_points: (4, 4), of the object.
        near: metres. growth: factor on their radii. Raises PoseError if the pose is not a finite rigid transform.
        """
        if not len(portion):
            return
        camera_from_points = np.linalg.inv(check_pose(pose)) @ world_from_points
        camera_from_points[:3, 3] += camera_from_points[:3, :3] @ points.centre
        scale = abs(np.linalg.det(world_from_points[:3, :3])) ** (1 / 3)
        shader = kept("splat", _splat_info)
        shader.bind()
        shader.uniform_float("camera_from_points", Matrix(camera_from_points.tolist()))
        shader.uniform_float("near_squared", max(near * near, 1e-37))
        shader.uniform_float("widest", math.sin(math.tau / 64))
        shader.uniform_float("growth", growth * scale)
        shader.uniform_int("width", self.width)
        enter(shader, self.images, points, portion)


class Picture:
    """A texture that is drawn into: width x height, its first row at the bottom as the card's are."""

    def __init__(self, width: int, height: int, kind: str) -> None:
        self.size = (width, height)
        self.texture = versions.smooth(_gpu.types.GPUTexture(self.size, format=kind))
        self.framebuffer = _gpu.types.GPUFrameBuffer(color_slots=(self.texture,))

    def fill(self, shader: Any, blend: str = "NONE") -> None:
        """Run a bound shader for all of its pixels."""
        state: Any = gpu.state
        before = state.viewport_get()
        with self.framebuffer.bind():
            self.framebuffer.viewport_set(0, 0, *self.size)
            gpu.state.blend_set(blend)  # type: ignore[arg-type]
            gpu.state.depth_test_set("NONE")
            quad().draw(shader)
            gpu.state.blend_set("NONE")
        state.viewport_set(*before)


def wait() -> None:
    """Return once the card has done all that it was told: it reads back a pixel, after all else."""
    if "pixel" not in _kept:
        _kept["pixel"] = _gpu.types.GPUTexture((1, 1), format="RGBA8")
    _kept["pixel"].read()


def resolve(target: Picture, fine: Layer, coarse: Layer | None, sky: Picture, *, marks: bool) -> None:
    """Draw the panorama: points where they are, the captures behind.

    coarse: shown where the fine layer has no points yet. marks: tint what is unseen, guessed and covered.
    """
    shader = kept("resolve", _resolve_info)
    shader.bind()
    for prefix, layer in (("fine", fine), ("coarse", coarse or fine)):
        for name, image in layer.images.items():
            shader.uniform_sampler(f"{prefix}_{name}", image)
    shader.uniform_sampler("sky", sky.texture)
    shader.uniform_int("coarse", int(coarse is not None))
    shader.uniform_int("marks", int(marks))
    target.fill(shader)


def draw_sky(target: Picture, captures: Sequence[tuple[Any, np.ndarray, float]], pose: np.ndarray) -> None:
    """Draw captures as if they were infinitely far away.

    captures: texture (alpha is validity), pose, and weight of each. The target holds color times trust, and trust.
    """
    target.texture.clear(format="FLOAT", value=(0.0, 0.0, 0.0, 0.0))
    for texture, capture, weight in captures:
        shader = kept("sky", _sky_info)
        shader.bind()
        capture_from_camera = np.eye(4)
        capture_from_camera[:3, :3] = capture[:3, :3].T @ pose[:3, :3]
        shader.uniform_float("capture_from_camera", Matrix(capture_from_camera.tolist()))
        shader.uniform_float("weight", weight)
        shader.uniform_sampler("photograph", texture)
        target.fill(shader, "ADDITIVE_PREMULT")


def show(texture: Any, rectangle: tuple[float, float, float, float], opacity: float) -> None:
    """Draw a panorama where something is being drawn. rectangle: left, bottom, width, height in its coordinates."""
    shader = kept("show", _show_info)
    shader.bind()
    shader.uniform_float("projection", gpu.matrix.get_projection_matrix() @ gpu.matrix.get_model_view_matrix())
    shader.uniform_float("rectangle", rectangle)
    shader.uniform_float("opacity", opacity)
    shader.uniform_sampler("picture", texture)
    gpu.state.blend_set("ALPHA")
    quad().draw(shader)
    gpu.state.blend_set("NONE")


_kept: dict[str, Any] = {}


def prepare() -> None:
    """Compile the shaders, and draw a point. Raises what Blender raises if the card cannot."""
    if gpu.platform.backend_type_get() == "METAL":
        raise RuntimeError("Metal takes atomics on other textures than Blender's Python can make.")
    layer, picture = Layer(8), Picture(8, 4, "RGBA8")
    white = PackedPoints(np.array([[0, 0, -1, 0xFFFFFF]], np.float32), np.array([[1, 1]], np.float32), np.zeros(3))
    layer.splat(upload(white), range(1), np.eye(4), np.eye(4), 0.01)
    draw_sky(picture, [], np.eye(4))
    resolve(picture, layer, None, Picture(8, 4, "RGBA16F"), marks=False)
    if max(picture.framebuffer.read_color(4, 1, 1, 1, 4, 0, "FLOAT").to_list()[0][0]) < 1.0:
        raise RuntimeError("The card has drawn nothing.")


def free() -> None:
    """Let go of the shaders."""
    _kept.clear()


def kept(name: str, describe: Callable[[], Any]) -> Any:
    """A shader, compiled when it is first asked for."""
    if name not in _kept:
        _kept[name] = gpu.shader.create_from_info(describe())
    return _kept[name]


def _splat_info() -> Any:
    info = splatting(_IMAGES)
    info.push_constant("MAT4", "camera_from_points")
    for name in ("near_squared", "widest", "growth"):
        info.push_constant("FLOAT", name)
    info.push_constant("INT", "width")
    info.compute_source(_SPLAT)
    return info


def _resolve_info() -> Any:
    info = quad_info("pantheon360_resolve")
    names = [f"{prefix}_{name}" for prefix in ("fine", "coarse") for name in _IMAGES]
    for slot, name in enumerate(names):
        info.sampler(slot, "UINT_2D", name)
    info.sampler(len(names), "FLOAT_2D", "sky")
    for name in ("coarse", "marks"):
        info.push_constant("INT", name)
    for name, colour in (("UNKNOWN", UNKNOWN), ("UNSEEN", UNSEEN), ("GUESSED", GUESSED), ("COVERED", COVERED)):
        info.define(name, f"vec3({colour[0]}, {colour[1]}, {colour[2]})")
    info.fragment_source(_RESOLVE)
    return info


def _sky_info() -> Any:
    info = quad_info("pantheon360_sky")
    info.sampler(0, "FLOAT_2D", "photograph")
    info.push_constant("MAT4", "capture_from_camera")
    info.push_constant("FLOAT", "weight")
    info.fragment_source(_SKY)
    return info


def _show_info() -> Any:
    info = quad_info("pantheon360_show", _PLACED)
    info.sampler(0, "FLOAT_2D", "picture")
    info.push_constant("MAT4", "projection")
    info.push_constant("VEC4", "rectangle")
    info.push_constant("FLOAT", "opacity")
    info.fragment_source(_SHOW)
    return info


def quad_info(name: str, vertices: str = _QUAD) -> Any:
    """Of a shader that draws `quad`, and has `uv` in it; its fragments are missing."""
    info = _gpu.types.GPUShaderCreateInfo()
    between = _gpu.types.GPUStageInterfaceInfo(name)
    between.smooth("VEC2", "uv")
    info.vertex_in(0, "VEC2", "place")
    info.vertex_out(between)
    info.fragment_out(0, "VEC4", "result")
    info.vertex_source(vertices)
    return info


def quad() -> Any:
    """The square of 0 to 1 as a batch, by the attribute `place`."""
    return kept_batch("quad", _quad)


def kept_batch(name: str, make: Callable[[], Any]) -> Any:
    """A batch, made when it is first asked for."""
    if (key := f"batch {name}") not in _kept:
        _kept[key] = make()
    return _kept[key]


def _quad() -> Any:
    layout = _gpu.types.GPUVertFormat()
    layout.attr_add(id="place", comp_type="F32", len=2, fetch_mode="FLOAT")
    corners = _gpu.types.GPUVertBuf(layout, 4)
    corners.attr_fill("place", np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32))
    return _gpu.types.GPUBatch(type="TRI_STRIP", buf=corners)
