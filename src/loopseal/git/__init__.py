"""Git without a clone: read a few paths, edit keys, sign, push with compare-and-swap.

May live here: the wire protocol, objects and packs, byte-exact edits, signatures, group commit, ancestry.
May not: anything about engines, settings files or who may do what.
"""
