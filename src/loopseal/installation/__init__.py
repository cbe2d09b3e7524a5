"""A GitOps-managed Airflow on Kubernetes: what its manifests mean before anything is applied.

May live here: reading manifests and saying what a GitOps engine makes of them; rules, simulation, rendering. Pure, but
for the edges that read files or ask a server. May not: changes that go round the loop, Git's wire protocol, Airflow.
"""
