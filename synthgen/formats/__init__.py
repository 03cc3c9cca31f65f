"""What the exporters share: columns, statistics, the lossless episode store, and building a data set folder."""
