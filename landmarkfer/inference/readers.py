"""Where faces and pixels are read from that are predicted or drawn: images of a source, rows of a cache."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.extraction.decode import UnreadableImage, decode_array, decode_image
from landmarkfer.extraction.sources.entry import Key, Source
from landmarkfer.inference.face import Pixels
from landmarkfer.inference.faces import decoded
from landmarkfer.inference.find import FoundFace
from landmarkfer.inference.frame import cache_rows


def cache_faces(cache: LandmarkCache, skip: int, with_image: bool) -> Iterator[list[FoundFace]]:
    """The faces of a cache, one list a row, from row `skip` on; with their images if they are wanted."""
    for start in range(skip, len(cache), 512):
        for row in cache_rows(cache, range(start, min(start + 512, len(cache))), with_image):
            yield [FoundFace(row, row, 0 if row.status == "ok" else None)]


# Classes rather than closures, so that predictions can be pickled.
@dataclass(frozen=True)
class SourcePixels:
    """Pixels of the images of a source, by their number."""

    source: Source

    def __call__(self, number: int) -> Pixels | None:
        """Those of one image; None if it cannot be read."""
        try:
            content = self.source.reader.read(cast(Key, self.source.entries[number].key))
            image = decode_image(content) if isinstance(content, bytes) else decode_array(content)
        except UnreadableImage:
            return None
        return cast(Pixels, image.pixels)


@dataclass(frozen=True)
class CachePixels:
    """Pixels of the images that a cache stores, by their row."""

    cache: LandmarkCache

    def __call__(self, number: int) -> Pixels | None:
        """Those of one row; None if it stores no image."""
        return decoded(self.cache.faces([number])[0])
