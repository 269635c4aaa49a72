"""Groups from pairs: what a chain of pairs connects is one group."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def connected_groups(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `(count,)` group numbers of the connected components of `(M, 2)` pairs.

    Groups are numbered from 0 in the order of their first members.
    """
    edges = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    _, components = connected_components(edges, directed=False)
    _, first, numbers = np.unique(components, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[numbers], np.int64)
