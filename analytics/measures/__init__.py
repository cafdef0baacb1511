"""The arithmetic of the figures, on rollups alone: each module answers for one page's subject."""
