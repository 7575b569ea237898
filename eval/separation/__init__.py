"""Linear separability in the sense of Definition 5.2, decided exactly.

`margins` finds the largest margin of every class, by the shortest vectors of `minimum_norm`;
`farkas` proves in rational arithmetic that there is none.
"""
