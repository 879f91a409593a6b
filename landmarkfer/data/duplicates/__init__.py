"""Images that are the same, by pixels or by eye: how near-duplicates are searched, verified and stored."""

from landmarkfer.data.duplicates.groups import count_groups, has_near_duplicate_in, pixel_groups
from landmarkfer.data.duplicates.search import THRESHOLD, NearPairs
from landmarkfer.data.duplicates.stored import NEAR_FILE, near_duplicates, stored_near_duplicates

__all__ = [
    "NEAR_FILE",
    "THRESHOLD",
    "NearPairs",
    "count_groups",
    "has_near_duplicate_in",
    "near_duplicates",
    "pixel_groups",
    "stored_near_duplicates",
]
