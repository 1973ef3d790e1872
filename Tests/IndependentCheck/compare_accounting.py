#!/usr/bin/env python3
"""Writes random cases of privacy accounting with the values of dp_accounting 0.6.0, for PeerComparisonTests to check.

    compare_accounting.py [--seeds 1,2,3] [--random] [--count 20] CASES.json

Each seed gives the same cases again; --random adds a seed drawn afresh and prints it. Needs `pip install dp-accounting==0.6.0`.
"""
import argparse
import json
import math
import random
import sys

import absl.logging
import dp_accounting as dp
from dp_accounting import pld, rdp
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.gaussian_mechanism import get_epsilon_gaussian, get_sigma_gaussian

absl.logging.set_verbosity("error")  # It warns of orders that it leaves out.
# Those of RenyiCurve.defaultOrders.
ORDERS = [1 + x / 10 for x in range(1, 100)] + list(range(11, 129)) + [256, 512, 1024]


def decades(draw, low, high):
    return math.exp(draw.uniform(math.log(low), math.log(high)))


def by_renyi(event, count, delta):
    return rdp.RdpAccountant(ORDERS).compose(event, count).get_epsilon(delta)


def by_loss(events, delta, interval):
    accountant = pld.PLDAccountant(value_discretization_interval=interval)
    for event, count in events:
        accountant.compose(event, count)
    return accountant.get_epsilon(delta)


def gaussian_epsilon(draw):
    sigma, delta = decades(draw, 0.05, 200), decades(draw, 1e-12, 1e-2)
    return dict(sigma=sigma, delta=delta, peer=get_epsilon_gaussian(sigma, delta))


def gaussian_sigma(draw):
    epsilon, delta = decades(draw, 0.01, 50), decades(draw, 1e-12, 1e-2)
    return dict(epsilon=epsilon, delta=delta, peer=get_sigma_gaussian(epsilon, delta))


def zero_concentrated(draw):
    rho, delta = decades(draw, 1e-3, 20), decades(draw, 1e-12, 1e-2)
    return dict(rho=rho, delta=delta, peer=by_renyi(dp.ZCDpEvent(rho), 1, delta))


def renyi_gaussian(draw):
    sigma, steps, delta = decades(draw, 0.5, 50), round(decades(draw, 1, 1000)), decades(draw, 1e-12, 1e-2)
    return dict(sigma=sigma, steps=steps, delta=delta, peer=by_renyi(dp.GaussianDpEvent(sigma), steps, delta))


def renyi_sampled(draw):
    q, sigma = decades(draw, 1e-4, 0.5), decades(draw, 0.5, 10)
    steps, delta = round(decades(draw, 1, 20000)), decades(draw, 1e-10, 1e-3)
    event = dp.PoissonSampledDpEvent(q, dp.GaussianDpEvent(sigma))
    return dict(q=q, sigma=sigma, steps=steps, delta=delta, peer=by_renyi(event, steps, delta))


def renyi_tree(draw):
    sigma, leaves, delta = decades(draw, 0.5, 20), round(decades(draw, 1, 100000)), decades(draw, 1e-10, 1e-3)
    # It speaks of a record that is replaced by nothing, with the tree staying as it is.
    accountant = rdp.RdpAccountant(ORDERS, dp.NeighboringRelation.REPLACE_SPECIAL)
    accountant.compose(dp.SingleEpochTreeAggregationDpEvent(sigma, leaves))
    return dict(sigma=sigma, leaves=leaves, delta=delta, peer=accountant.get_epsilon(delta))


def renyi_delta(draw):
    sigma, epsilon = decades(draw, 0.5, 20), decades(draw, 0.1, 20)
    accountant = rdp.RdpAccountant(ORDERS).compose(dp.GaussianDpEvent(sigma))
    return dict(sigma=sigma, epsilon=epsilon, peer=accountant.get_delta(epsilon))


def loss_gaussian(draw):
    sigma, steps, delta = decades(draw, 0.5, 10), draw.randint(1, 100), decades(draw, 1e-8, 1e-3)
    peer = by_loss([(dp.GaussianDpEvent(sigma), steps)], delta, 1e-4)
    return dict(sigma=sigma, steps=steps, delta=delta, peer=peer)


def loss_sampled(draw):
    q, sigma = decades(draw, 0.005, 0.3), decades(draw, 0.6, 6)
    steps, delta = round(decades(draw, 10, 2000)), decades(draw, 1e-8, 1e-4)
    event = dp.PoissonSampledDpEvent(q, dp.GaussianDpEvent(sigma))
    return dict(q=q, sigma=sigma, steps=steps, delta=delta, peer=by_loss([(event, steps)], delta, 1e-4))


def loss_discrete(draw):
    # It rounds this one up to multiples, so a finer interval and few steps.
    sigma, sensitivity = round(decades(draw, 0.8, 30), 3), draw.randint(1, 3)
    steps, delta = draw.randint(1, 10), decades(draw, 1e-8, 1e-4)
    one = privacy_loss_distribution.from_discrete_gaussian_mechanism(
        sigma, sensitivity, value_discretization_interval=1e-5)
    peer = one.self_compose(steps).get_epsilon_for_delta(delta)
    return dict(sigma=sigma, sensitivity=sensitivity, steps=steps, delta=delta, peer=peer)


def loss_mixed(draw):
    q, sampled = decades(draw, 0.01, 0.2), decades(draw, 0.8, 4)
    sigma, steps, others, delta = decades(draw, 3, 30), draw.randint(10, 500), draw.randint(1, 5), 1e-6
    events = [(dp.PoissonSampledDpEvent(q, dp.GaussianDpEvent(sampled)), steps), (dp.GaussianDpEvent(sigma), others)]
    return dict(q=q, sampledSigma=sampled, steps=steps, sigma=sigma, others=others, delta=delta,
                peer=by_loss(events, delta, 1e-4))


# How many of `--count` cases: those of privacy loss distributions take a second each.
FAMILIES = [
    ("gaussianEpsilon", gaussian_epsilon, 5), ("gaussianSigma", gaussian_sigma, 5),
    ("zeroConcentrated", zero_concentrated, 5), ("renyiGaussian", renyi_gaussian, 2), ("renyiSampled", renyi_sampled, 2),
    ("renyiTree", renyi_tree, 2), ("renyiDelta", renyi_delta, 2), ("lossGaussian", loss_gaussian, 0.5),
    ("lossSampled", loss_sampled, 1), ("lossDiscrete", loss_discrete, 0.5), ("lossMixed", loss_mixed, 0.5),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("output")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",") if seed]
    if options.random:
        seeds.append(random.SystemRandom().randrange(2**32))
    print(f"seeds {','.join(map(str, seeds))}", file=sys.stderr)
    cases = []
    for seed in seeds:
        for name, make, share in FAMILIES:
            draw = random.Random(f"{seed} {name}")
            for _ in range(max(1, round(options.count * share))):
                case = make(draw)
                # With nothing to spend there is no relative error.
                if 1e-3 < case["peer"] < 1e3 or name == "renyiDelta" and 1e-300 < case["peer"] < 1:
                    cases.append(dict(family=name, seed=seed, **case))
    with open(options.output, "w", encoding="utf-8") as file:
        json.dump(cases, file, indent=1)
    print(f"{len(cases)} cases in {options.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
