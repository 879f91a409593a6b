"""Image backbones: timm's by name, and small networks of our own."""
