"""The recipes: one YAML file per model, read with ``importlib.resources.files("wusum.configs")``."""
