#!/usr/bin/env python3
"""Writes peer_function.json: weights, inputs, logits and gradients of the same networks written in PyTorch.

  make_peer_function.py PEER.py peer_function.json     (PEER.py defines Ranker as this project's benchmark peer does)

Computed in float64 from values that are exact in float32. Each request runs by itself, so nothing is padded.
"""
import importlib.util
import json
import sys

import torch
import torch.nn.functional as F

WIDTH, HEADS, LINKS, BLOCKS, HIDDEN = 6, 2, 3, 2, 5
HISTORY_FEATURES, CANDIDATE_FEATURES, USER_FEATURES = 5, 4, 3
HISTORIES, CANDIDATES = [3, 1, 7], [2, 4, 1]


def flat(t):
    return [float(f"{v:.9g}") for v in t.detach().reshape(-1).tolist()]


def parameters(m, model, grad):
    """Our names and layouts: weights are [in, out]; an XOR block's columns are U, Q, K, V."""
    get = (lambda p: p.grad) if grad else (lambda p: p.data)
    out = {}

    def linear(name, layer):
        out[name + ".weight"] = get(layer.weight).T
        if layer.bias is not None:
            out[name + ".bias"] = get(layer.bias)[None]

    def mlp(name, hidden, last):
        linear(name + ".hidden", hidden)
        linear(name + ".out", last)

    def norm(name, layer):
        out[name + ".gain"], out[name + ".bias"] = get(layer.weight)[None], get(layer.bias)[None]

    linear("token", m.token)
    mlp("tower", m.tower[0], m.tower[2])
    if model == "two_tower":
        mlp("interaction.user", m.user[0], m.user[2])
    elif model.startswith("lime"):
        out["interaction.links"] = get(m.link)
        mlp("interaction.context", m.context[0], m.context[2])
        for name, layer in (("tq", m.tq), ("lk", m.lk), ("v", m.lv), ("z", m.z)):
            linear("interaction.decoupled." + name, layer)
    if model in ("lime_mha", "mha"):
        at = "interaction.mha."
        norm(at + "norm_q", m.nq)
        norm(at + "norm_k", m.nk)
        linear(at + "q", m.q)
        out[at + "kv.weight"] = torch.cat([get(m.k.weight).T, get(m.v.weight).T], 1)
        linear(at + "out", m.o)
        norm(at + "norm_f", m.ffn[0])
        mlp(at + "feed_forward", m.ffn[1], m.ffn[3])
    if model in ("lime_xor", "hstu"):
        for i, b in enumerate(m.blocks):
            at = f"interaction.block{i}."
            norm(at + "norm_in", b.norm_in)
            norm(at + "norm_av", b.norm_av)
            linear(at + "out", b.out)
            u, v, q, k = get(b.uvqk.weight).T.chunk(4, 1)
            out[at + "uqkv.weight"] = torch.cat([u, q, k, v], 1)
            u, v, q, k = get(b.uvqk.bias).chunk(4)
            out[at + "uqkv.bias"] = torch.cat([u, q, k, v])[None]
    mlp("head", m.head[0], m.head[2])
    return {k: flat(v) for k, v in out.items()}


def divide_by_one_more(block):
    """HSTU's attention sums are divided by N + 1 here, by max(N, 1) in the peer."""
    forward, close = block.forward, block.close

    def patched(x, valid=None, targets=0):
        n = x.shape[1] - targets
        block.close = lambda x, u, av: close(x, u, av * (max(n, 1) / (n + 1)))
        return forward(x, valid, targets)
    block.forward = patched


def main():
    spec = importlib.util.spec_from_file_location("peer", sys.argv[1])
    peer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peer)
    torch.manual_seed(20)
    exact = lambda *s: torch.randn(*s).float().double()
    history = [exact(1, n, HISTORY_FEATURES).requires_grad_() for n in HISTORIES]
    candidates = [exact(1, n, CANDIDATE_FEATURES).requires_grad_() for n in CANDIDATES]
    user = [exact(1, USER_FEATURES).requires_grad_() for _ in HISTORIES]
    labels = [(torch.rand(1, n) < 0.5).double() for n in CANDIDATES]
    join = lambda parts: flat(torch.cat([p.reshape(-1) for p in parts]))
    inputs = {"history": history, "candidates": candidates, "user": user}
    result = {"torch": torch.__version__, "width": WIDTH, "heads": HEADS, "links": LINKS, "blocks": BLOCKS,
              "head_hidden": HIDDEN, "history_features": HISTORY_FEATURES, "candidate_features": CANDIDATE_FEATURES,
              "user_features": USER_FEATURES, "history_lengths": HISTORIES, "candidate_lengths": CANDIDATES,
              "labels": join(labels), "inputs": {k: join(v) for k, v in inputs.items()}, "models": {}}
    for model in ("two_tower", "lime_mha", "lime_xor", "hstu", "mha"):
        m = peer.Ranker(model, 1, CANDIDATE_FEATURES, WIDTH, HEADS, LINKS, BLOCKS, USER_FEATURES, HIDDEN)
        m.items = torch.nn.Identity()  # features are given, not looked up
        m.token = torch.nn.Linear(HISTORY_FEATURES, WIDTH)
        m.history = lambda batch: m.token(batch["features"])
        if model == "hstu":
            for block in m.blocks:
                divide_by_one_more(block)
        with torch.no_grad():
            for p in m.parameters():
                p.copy_(0.5 * torch.randn(p.shape))
        m = m.double()
        for x in history + candidates + user:
            x.grad = None
        logits = [m({"features": h, "candidate": c, "user": u}) for h, c, u in zip(history, candidates, user)]
        loss = sum(F.binary_cross_entropy_with_logits(x, y, reduction="sum") for x, y in zip(logits, labels))
        loss.backward()
        result["models"][model] = {
            "parameters": parameters(m, model, False), "logits": join(logits), "loss": loss.item(),
            "gradients": parameters(m, model, True),
            "input_gradients": {k: join([x.grad for x in v]) for k, v in inputs.items()}}
    with open(sys.argv[2], "w") as f:
        json.dump(result, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main()
