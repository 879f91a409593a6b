"""`python -m landmarkfer` is the command line."""

from landmarkfer.cli import main

if __name__ == "__main__":
    main()
