"""What holds images, and how single ones are read from it, in any process and in any order."""
