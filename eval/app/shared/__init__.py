"""What several commands share: formats, folders, processes, signals, options."""
