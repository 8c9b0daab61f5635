"""The demo: a sandbox, a first run, a day at two companies, and the proof that both CRMs agree."""
