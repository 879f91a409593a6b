"""Why a network answers as it does: contributions of points, regions, edges, pixels and branches, checked."""
