"""What paths state of images: class, split and group."""
