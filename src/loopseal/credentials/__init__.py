"""Where secrets come from: the references of the settings, resolved when they are needed.

May live here: one module per source of credentials. May not: what a credential is used for, settings files, logging of
any value. An error names the reference and never what stands behind it.
"""
