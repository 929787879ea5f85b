#!/usr/bin/env python3
"""Mean KL divergence between two files of logits: divergence.py EXACT ACTUAL N_ROWS (float32, N_ROWS equal rows)."""

import array
import math
import sys


def read(path):
    values = array.array("f")
    with open(path, "rb") as file:
        values.frombytes(file.read())
    return values


def log_softmax(row):
    largest = max(row)
    total = math.log(math.fsum(math.exp(x - largest) for x in row)) + largest
    return [x - total for x in row]


def main():
    exact, actual, n_rows = read(sys.argv[1]), read(sys.argv[2]), int(sys.argv[3])
    if len(exact) != len(actual) or len(exact) % n_rows:
        sys.exit(f"{sys.argv[1]} and {sys.argv[2]} do not hold {n_rows} equal rows")
    width = len(exact) // n_rows
    divergences = []
    for i in range(n_rows):
        p, q = (log_softmax(x[i * width : (i + 1) * width]) for x in (exact, actual))
        divergences.append(math.fsum(math.exp(a) * (a - b) for a, b in zip(p, q)))
    print(f"mean KL {math.fsum(divergences) / n_rows:.3e}, largest {max(divergences):.3e}, {n_rows} positions")


if __name__ == "__main__":
    main()
