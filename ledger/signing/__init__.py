"""Signatures under what travels on the bus: who may order, and who may report.

Whoever may write to a topic can write anything there; what counts is who signed it. A leader signs
orders, looks and cancellations with a key outside of the ledger's database, and agents take none
without (`agents/trust.py`). Agents sign reports and signs of life, and the intake believes the keys
that were registered for their pool (`ledger/leader/key_ring.py`). Why it is as it is:
ops/decisions/0023.

```
leader's file ─▶ Signer ─ order + envelope ─▶ bus ─▶ checked by the keys of LEDGER_AGENT_TRUST
agent's file ─▶ Signer ─ reports + envelope ─▶ bus ─▶ checked by the keys of the stream `keys`
```
"""
