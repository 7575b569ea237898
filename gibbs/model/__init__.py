"""The network, its laws and its energies: sections 2 and 3 of the paper.

`problem` holds data, W and the constants; `particles` a cloud of neurons; `network` computes
features and outputs, `energy` the loss, the free energy and its first variation. `activations` and
`truncation` are the scalar functions, `repeats` finds samples that occur several times, `tiles`
cuts what is long, and `checks` refuses bad arguments.
"""
