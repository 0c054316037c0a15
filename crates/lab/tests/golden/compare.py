"""Reference values for the tests of `owlet compare`: z-scores by centring, p-values by listing every order,
ranks by singular values. Run by hand: python compare.py > compare.json (numpy 2)."""

import itertools
import json

import numpy as np

generator = np.random.default_rng(20261129)


def matched(size, alike):
    ours = generator.normal(size=(size, 5))
    theirs = alike * ours + generator.normal(size=(size, 5))
    similarities = np.float32(ours @ theirs.T).astype(np.float64)
    centring = np.eye(size) - 1 / size
    centred = centring @ similarities @ centring
    z = np.trace(centred) / np.sqrt((centred**2).sum() / (size - 1))
    own = np.trace(similarities)
    orders = list(itertools.permutations(range(size)))
    sums = np.array([similarities[np.arange(size), order].sum() for order in orders])
    return {
        "size": size,
        "similarities": similarities.flatten().tolist(),
        "z": z,
        # Over all orders these are the mean and the deviation that z is made with.
        "z_of_orders": (own - sums.mean()) / sums.std(),
        "p": float((sums >= own - 1e-9).mean()),
    }


def agreement(of, pairs, agree):
    """The chance that at least `agree` of `pairs` named places are hit by an order of `of`."""
    hits = [sum(order[place] == place for place in range(pairs)) for order in itertools.permutations(range(of))]
    return {"of": of, "pairs": pairs, "agree": agree, "p": float(np.mean(np.array(hits) >= agree))}


def rank(rows, columns, rank, noise):
    matrix = generator.normal(size=(rows, rank)) @ generator.normal(size=(rank, columns))
    matrix += noise * generator.normal(size=matrix.shape)
    floor = 10 * noise * np.sqrt(columns) if noise else 1e-9
    values = np.linalg.svd(matrix, compute_uv=False)
    return {"rows": rows, "floor": floor, "matrix": matrix.flatten().tolist(), "rank": int((values > floor).sum())}


print(
    json.dumps(
        {
            "matched": [matched(7, alike) for alike in (0, 0.3, 1)],
            "agreements": [agreement(7, *case) for case in ((7, 1), (7, 3), (7, 7), (4, 2), (5, 5))],
            "ranks": [rank(*case) for case in ((9, 14, 3, 0), (9, 14, 9, 0), (12, 10, 4, 1e-4), (6, 8, 0, 1e-4))],
        }
    )
)
