"""What is done to a network as a whole, on the coordinator's host: the verbs that are `innerd`'s alone (`host` about
this host, `verbs` about its files).

`create` makes and removes one, `backup` keeps and restores it, `from_innernet` takes one over, `verify` holds its log
against what was signed, `doctor` says what is wrong with this host.
"""
