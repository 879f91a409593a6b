"""Figures and tables to pages and pictures. Renders only; computes no results."""
