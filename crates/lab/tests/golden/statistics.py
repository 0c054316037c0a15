"""Makes statistics.json: reference values for the statistics, from scipy, numpy and statsmodels.

Run in this folder: python statistics.py (needs scipy, statsmodels). Deterministic.
"""

import itertools
import json
import math

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

rng = np.random.default_rng(20260101)


def rounded(values):
    return [float(np.round(v, 6)) for v in values]


t_intervals = []
for n in [2, 3, 5, 6, 10, 30, 200]:
    for level in [0.8, 0.95, 0.99, 0.999]:
        values = rounded(rng.normal(0.3, 2.0, n))
        low, high = stats.t.interval(level, n - 1, loc=np.mean(values), scale=stats.sem(values))
        t_intervals.append({"values": values, "level": level, "low": low, "high": high})

proportions = []
cases = [(0, 1), (1, 1), (0, 10), (10, 10), (1, 10), (3, 10), (37, 200), (5, 5000), (4995, 5000)]
cases += [(2500, 5000), (123456, 1000000), (0, 1000000)]
for hits, n in cases:
    for level in [0.8, 0.95, 0.99]:
        test = stats.binomtest(hits, n)
        wilson = test.proportion_ci(level, method="wilson")
        exact = test.proportion_ci(level, method="exact")
        proportions.append(
            {
                "hits": hits,
                "n": n,
                "level": level,
                "wilson": [wilson.low, wilson.high],
                "exact": [exact.low, exact.high],
            }
        )

sign_flips = []
for n in [2, 3, 5, 6, 8, 10]:
    for shift in [0.0, 0.5, 2.0, -1.0]:
        values = rounded(rng.normal(shift, 1.0, n))
        if n == 8:
            values = [float(round(v)) for v in values]  # ties and zeros
        found = {}
        for side in ["greater", "two-sided"]:
            test = stats.permutation_test(
                (np.array(values),),
                lambda x, axis=-1: np.mean(x, axis=axis),
                permutation_type="samples",
                n_resamples=np.inf,
                alternative=side,
                vectorized=True,
            )
            found[side] = float(test.pvalue)
        sign_flips.append(
            {"values": values, "greater": found["greater"], "two_sided": found["two-sided"]}
        )


def matrix_lambda(cells):
    k = len(cells)
    diagonal = np.trace(cells) / k
    return float(diagonal - (cells.sum() - np.trace(cells)) / (k * (k - 1)))


relabelling = []
for k, replicates in [(2, 3), (2, 5), (3, 1), (3, 3), (3, 5), (4, 3), (5, 2)]:
    for effect in [0.0, 0.8]:
        cells = np.round(rng.normal(0, 1, (replicates, k, k)) + effect * np.eye(k), 6)
        orders = [list(order) for order in itertools.permutations(range(k))]
        table = [[matrix_lambda(y[order, :]) for order in orders] for y in cells]
        observed = sum(matrix_lambda(y) for y in cells)
        sums = np.array([0.0])
        for row in table:
            sums = np.add.outer(sums, np.array(row)).ravel()
        relabelling.append(
            {
                "matrices": cells.tolist(),
                "statistic": observed / replicates,
                "greater": float(np.mean(sums >= observed - 1e-9)),
                "two_sided": float(np.mean(np.abs(sums) >= abs(observed) - 1e-9)),
                "count": math.factorial(k) ** replicates,
            }
        )

lambdas = []
for k, missing in [(2, 0), (3, 0), (3, 1), (3, 2), (4, 3), (5, 6), (6, 10), (8, 20)]:
    y = np.round(rng.normal(0, 1, (k, k)) + np.eye(k), 6)
    cells = [[float(v) for v in row] for row in y]
    spots = [(i, j) for i in range(k) for j in range(k)]
    for at in rng.choice(len(spots), missing, replace=False):
        i, j = spots[at]
        cells[i][j] = None
    observed = [(i, j) for i, j in spots if cells[i][j] is not None]
    design = np.zeros((len(observed), 2 * k + 1))
    for row, (i, j) in enumerate(observed):
        design[row, i] = 1
        design[row, k + j] = 1
        design[row, 2 * k] = i == j
    scores = np.array([cells[i][j] for i, j in observed])
    without = np.delete(design, 2 * k, axis=1)
    assert np.linalg.matrix_rank(design) > np.linalg.matrix_rank(without)
    solution = np.linalg.lstsq(design, scores, rcond=None)[0]
    lambdas.append({"cells": cells, "lambda": float(solution[2 * k])})

holm = []
for p in [
    [0.01],
    [0.04, 0.01, 0.03],
    [0.5, 0.5, 0.5],
    [0.0, 1.0, 0.2, 0.0001],
    rounded(rng.uniform(0, 0.1, 12)),
]:
    holm.append({"p": p, "adjusted": multipletests(p, method="holm")[1].tolist()})

sections = {
    "t_intervals": t_intervals,
    "proportions": proportions,
    "sign_flips": sign_flips,
    "relabelling": relabelling,
    "lambdas": lambdas,
    "holm": holm,
}
with open("statistics.json", "w") as file:
    lines = [
        json.dumps(name) + ": [\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]"
        for name, cases in sections.items()
    ]
    file.write("{\n" + ",\n".join(lines) + "\n}\n")
