"""What several commands share.

- `options`: their options, as one object. `network_options`: those of the network.
- `uses`: where an option has an effect. `sources`: the data that an option names.
- `workspace`: output folders while a command writes. `run_folder`: the folder of a run, read.
- `parallel`: jobs in processes. `endings`: errors and signals.
- `formats`: numbers, tables and JSON. `scores`: how methods did. `certificates`: in sentences.
- `plots`: what all figures have in common.
"""
