"""Points seen in a 3D viewport, drawn by the graphics card: round splats, portion by portion.

A compute shader keeps the nearest depth and the color of each pixel. Between portions both stay, so that a view is
refined over several ticks; each redraw of the viewport only copies them, depths included.
"""

from __future__ import annotations

from typing import Any

import gpu
import numpy as np
from mathutils import Matrix

from . import panorama_shader
from .card_points import CardPoints, enter, splatting

IMAGES = ("depths", "colors")
NOTHING = 0x7F800000
"""Bits of an infinite depth: where no point fell."""

_LARGEST = 24.0  # pixels: radius of a point that is very near

_SPLAT = """
void main()
{
  TAKE_POINT
  float radius = texelFetch(sizes, texel, 0).x * growth;
  vec4 clip = clip_from_points * vec4(place.xyz, 1.0);
  if (!(clip.w > 0.0)) {
    return;
  }
  vec3 ndc = clip.xyz / clip.w;
  if (any(greaterThan(abs(ndc), vec3(1.2, 1.2, 1.0)))) {
    return;
  }
  ivec2 size = imageSize(depths);
  vec2 at = (ndc.xy * 0.5 + 0.5) * vec2(size);
  // As a sphere has it: the depth of its nearest point.
  float depth = clamp(ndc.z * 0.5 + 0.5 - radius * steepness / (clip.w * clip.w), 0.0, 1.0);
  float reach = clamp(radius * pixels / clip.w, 0.5, LARGEST);
  uint bits = floatBitsToUint(depth);
  uint shade = uint(place.w);
  ivec2 low = max(ivec2(floor(at - reach + 0.5)), 0), high = min(ivec2(floor(at + reach - 0.5)), size - 1);
  for (int row = low.y; row <= high.y; row++) {
    for (int column = low.x; column <= high.x; column++) {
      vec2 off = vec2(column, row) + 0.5 - at;
      ivec2 pixel = ivec2(column, row);
      if (dot(off, off) <= reach * reach || pixel == ivec2(at)) {
        uint nearest = imageLoad(depths, pixel).x;
        if (stage == 0 && bits < nearest) {
          imageAtomicMin(depths, pixel, bits);
        }
        else if (stage == 1 && bits == nearest) {
          imageStore(colors, pixel, uvec4(shade));
        }
      }
    }
  }
}
"""

_COMPOSE = """
void main()
{
  ivec2 size = textureSize(depths, 0);
  ivec2 at = min(ivec2(uv * vec2(size)), size - 1);
  float depth = uintBitsToFloat(texelFetch(depths, at, 0).x);
  uint shade = texelFetch(colors, at, 0).x;
  if (isinf(depth)) {
    discard;
  }
  // The viewport's framebuffer takes linear light and encodes it itself.
  vec3 encoded = vec3(uvec3(shade, shade >> 8, shade >> 16) & 255u) / 255.0;
  vec3 low = encoded / 12.92, high = pow((encoded + 0.055) / 1.055, vec3(2.4));
  result = vec4(mix(high, low, vec3(lessThanEqual(encoded, vec3(0.04045)))), 1.0);
  gl_FragDepth = depth;
}
"""

_gpu: Any = gpu  # its classes' constructors are unknown to type checkers


class ViewLayer:
    """Points of a view, width x height pixels, on the graphics card: it is added to, portion by portion."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self.images = {name: _gpu.types.GPUTexture(self.size, format="R32UI") for name in IMAGES}
        self.clear()

    def clear(self) -> None:
        """Show nothing."""
        self.images["depths"].clear(format="UINT", value=(NOTHING,))

    def splat(
        self,
        points: CardPoints,
        portion: range,
        view: tuple[np.ndarray, np.ndarray],
        world_from_points: np.ndarray,
        growth: float = 1.0,
    ) -> None:
        """Add some of the points.

        portion: their places among the points. view: camera_from_world and clip_from_camera, (4, 4) each.
        world_from_points: (4, 4), of the object. growth: factor on their radii.
        """
        if not len(portion):
            return
        camera_from_world, clip_from_camera = view
        clip_from_points = clip_from_camera @ camera_from_world @ world_from_points
        clip_from_points[:, 3] += clip_from_points[:, :3] @ points.centre
        scale = abs(np.linalg.det(world_from_points[:3, :3])) ** (1 / 3)
        perspective = clip_from_camera[3, 3] == 0.0
        shader = panorama_shader.kept("view", _splat_info)
        shader.bind()
        shader.uniform_float("clip_from_points", Matrix(clip_from_points.tolist()))
        shader.uniform_float("growth", growth * scale)
        shader.uniform_float("pixels", 0.5 * abs(clip_from_camera[1, 1]) * self.size[1])
        shader.uniform_float("steepness", 0.5 * abs(clip_from_camera[2, 3 if perspective else 2]))
        enter(shader, self.images, points, portion)


def compose(layer: ViewLayer) -> None:
    """Draw the points over what is being drawn, with their depths; the layer may have fewer pixels than that."""
    shader = panorama_shader.kept("compose", _compose_info)
    shader.bind()
    for name, image in layer.images.items():
        shader.uniform_sampler(name, image)
    gpu.state.depth_test_set("LESS_EQUAL")
    gpu.state.depth_mask_set(True)
    panorama_shader.quad().draw(shader)
    gpu.state.depth_mask_set(False)
    gpu.state.depth_test_set("NONE")


def _splat_info() -> Any:
    info = splatting(IMAGES)
    info.push_constant("MAT4", "clip_from_points")
    for name in ("growth", "pixels", "steepness"):
        info.push_constant("FLOAT", name)
    info.define("LARGEST", str(_LARGEST))
    info.compute_source(_SPLAT)
    return info


def _compose_info() -> Any:
    info = panorama_shader.quad_info("pantheon360_compose")
    for slot, name in enumerate(IMAGES):
        info.sampler(slot, "UINT_2D", name)
    info.depth_write("ANY")
    info.fragment_source(_COMPOSE)
    return info
