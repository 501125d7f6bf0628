"""The six disciplines of VideoMMMU, and which of them a subject belongs to: its folders are named after them."""

from __future__ import annotations

from typing import Final

__all__ = ["DISCIPLINES", "discipline_of"]

DISCIPLINES: Final = {
    "Art": ("Art", "Art_Theory", "Design", "Music"),
    "Business": ("Accounting", "Economics", "Finance", "Manage", "Marketing"),
    "Science": ("Biology", "Chemistry", "Geography", "Math", "Physics"),
    "Medicine": (
        *("Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine"),
        *("Pharmacy", "Public_Health"),
    ),
    "Humanities": ("History", "Literature", "Sociology", "Psychology"),
    "Engineering": (
        *("Agriculture", "Architecture_and_Engineering", "Computer_Science", "Electronics"),
        *("Energy_and_Power", "Materials", "Mechanical_Engineering"),
    ),
}
"""Subjects by discipline."""


def discipline_of(record_id: str) -> str:
    """The discipline of an id such as `dev_Accounting_1`, Science when its subject is on no list."""
    subject = record_id.partition("_")[2].rpartition("_")[0]
    return next((name for name, subjects in DISCIPLINES.items() if subject in subjects), "Science")
