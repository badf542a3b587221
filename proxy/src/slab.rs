//! Storage that hands out small ids and never mistakes a new tenant for the old one.
//!
//! Replies come back long after the client that asked may have gone and its cell been given to another; an id
//! therefore names the cell and the tenancy.

/// Names one tenancy of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    index: u32,
    generation: u32,
}

impl Id {
    /// An id that no slab ever hands out.
    pub const NONE: Self = Self { index: u32::MAX, generation: u32::MAX };
}

impl Default for Id {
    fn default() -> Self {
        Self::NONE
    }
}

/// Values beside the tenants of a [`Slab`], under the same ids.
#[derive(Debug)]
pub struct Beside<T> {
    cells: Vec<Option<(u32, T)>>,
}

impl<T> Default for Beside<T> {
    fn default() -> Self {
        Self { cells: Vec::new() }
    }
}

impl<T> Beside<T> {
    pub fn insert(&mut self, id: Id, value: T) {
        let index = id.index as usize;
        if self.cells.len() <= index {
            self.cells.resize_with(index + 1, || None);
        }
        self.cells[index] = Some((id.generation, value));
    }

    #[inline]
    pub fn get(&self, id: Id) -> Option<&T> {
        match self.cells.get(id.index as usize) {
            Some(Some((generation, value))) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    pub fn remove(&mut self, id: Id) -> Option<T> {
        self.get(id)?;
        self.cells.get_mut(id.index as usize)?.take().map(|(_, value)| value)
    }
}

#[derive(Debug)]
struct Cell<T> {
    generation: u32,
    tenant: Option<T>,
}

/// Cells of `T` under [`Id`]s.
#[derive(Debug)]
pub struct Slab<T> {
    cells: Vec<Cell<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { cells: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Number of tenants.
    pub fn len(&self) -> usize {
        self.cells.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn insert(&mut self, tenant: T) -> Id {
        if let Some(index) = self.free.pop()
            && let Some(cell) = self.cells.get_mut(index as usize)
        {
            cell.tenant = Some(tenant);
            return Id { index, generation: cell.generation };
        }
        let index = u32::try_from(self.cells.len()).unwrap_or(u32::MAX - 1);
        self.cells.push(Cell { generation: 0, tenant: Some(tenant) });
        Id { index, generation: 0 }
    }

    #[inline]
    pub fn get(&self, id: Id) -> Option<&T> {
        let cell = self.cells.get(id.index as usize)?;
        if cell.generation == id.generation { cell.tenant.as_ref() } else { None }
    }

    #[inline]
    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let cell = self.cells.get_mut(id.index as usize)?;
        if cell.generation == id.generation { cell.tenant.as_mut() } else { None }
    }

    pub fn remove(&mut self, id: Id) -> Option<T> {
        let cell = self.cells.get_mut(id.index as usize)?;
        if cell.generation != id.generation {
            return None;
        }
        let tenant = cell.tenant.take()?;
        cell.generation = cell.generation.wrapping_add(1);
        self.free.push(id.index);
        Some(tenant)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.cells.iter().enumerate().filter_map(|(index, cell)| {
            let tenant = cell.tenant.as_ref()?;
            Some((Id { index: index as u32, generation: cell.generation }, tenant))
        })
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Id, &mut T)> {
        self.cells.iter_mut().enumerate().filter_map(|(index, cell)| {
            let tenant = cell.tenant.as_mut()?;
            Some((Id { index: index as u32, generation: cell.generation }, tenant))
        })
    }

    /// The ids of all tenants, for walks that change the slab.
    pub fn ids(&self) -> Vec<Id> {
        self.iter().map(|(id, _)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_does_not_find_the_next_tenant() {
        let mut slab = Slab::default();
        let first = slab.insert("a");
        assert_eq!(slab.remove(first), Some("a"));
        let second = slab.insert("b");
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&"b"));
        assert_eq!((slab.len(), slab.ids()), (1, vec![second]));
        assert_eq!(slab.get(Id::NONE), None);
    }
}
