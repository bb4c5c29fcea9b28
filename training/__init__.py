"""Fine-tunes an encoder on labelled articles and writes model bundles. Needs ``pip install 'wusum[train]'``."""
