# This file is broken on purpose: the example shows how its failure is reported.
def broken(:
