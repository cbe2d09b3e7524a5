"""GitOps reconcilers, observed: is this commit, or a descendant, applied and healthy?

May live here: one module per engine (`argocd`, `flux`: class `Engine`), and beneath them the pure judges over the
objects that they answer with (`argocd_verdict`, `flux_verdict`, `kstatus`), preflight, recordings and their replay.
May not: Git, credentials, ledgers, decisions about changes. The judges do no I/O and read no clock: objects, the
relation of commits and the time are arguments, and what they must remember is a JSON value that the caller keeps.
"""
